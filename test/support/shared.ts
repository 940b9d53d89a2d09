/** Test vectors by others lie beside the repository, in `../shared`, and are not part of it: tests that need them skip where it is missing. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The path of `../shared/<relative>`, seen from the repository's root; null if there is no such file; the test's name then says that it was skipped. */
export function sharedFile(relative: string): string | null {
  const path = fileURLToPath(new URL(`../../../shared/${relative}`, import.meta.url));
  return existsSync(path) ? path : null;
}
