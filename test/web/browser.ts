/** The page as it is now, and how `tidelog open` lets a person in. */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** As `npm ci` does by `prepare`: what is tested is what is here now. */
export function buildPage(): void {
  execFileSync(process.execPath, [fileURLToPath(new URL('../../scripts/build-web.js', import.meta.url))]);
}

/** What a node is asked for a link by: those of test/support/node.ts and of test/e2e/support.ts both do. */
export interface LetsIn {
  readonly url: string;
  request(method: string, path: string): Promise<Response>;
}

export async function sessionLink(node: LetsIn): Promise<string> {
  const { path } = (await (await node.request('POST', '/v1/session/links')).json()) as { path: string };
  return node.url + path;
}
