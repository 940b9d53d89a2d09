/** A copy of this implementation with one mistake in it. */
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { PlantedBug } from './bugs.ts';

export const ROOT = fileURLToPath(new URL('../../../', import.meta.url)).replace(/\/$/, '');

/** What an implementation needs to run: the node by bin/, the program that connects by test/conformance/client.ts. */
const PARTS = ['protocol', 'client', 'server', 'conformance', 'bin', 'package.json', 'test/conformance'];

export interface Build {
  readonly root: string;
  remove(): Promise<void>;
}

/** Throws where the patch does not fit: its text must stand in the file exactly once. */
export async function build({ id, also = [], ...first }: PlantedBug): Promise<Build> {
  const patched = new Map<string, string>();
  for (const { file, find, replace } of [first, ...also]) {
    const source = await readFile(join(ROOT, file), 'utf8');
    const found = source.split(find).length - 1;
    if (found !== 1) throw new Error(`planted bug ${id}: its text stands ${found} times in ${file}, and should once`);
    patched.set(
      file,
      source.replace(find, () => replace),
    );
  }
  const root = await mkdtemp(join(tmpdir(), `tidelog-planted-${id}-`));
  const remove = (): Promise<void> => rm(root, { recursive: true, force: true });
  try {
    for (const part of PARTS) await cp(join(ROOT, part), join(root, part), { recursive: true });
    await symlink(join(ROOT, 'node_modules'), join(root, 'node_modules'));
    for (const [file, source] of patched) await writeFile(join(root, file), source);
    return { root, remove };
  } catch (error) {
    await remove();
    throw error;
  }
}
