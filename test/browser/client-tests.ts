/** Tests of client/ as they are, bundled for a page: the store is IndexedDB, and primitives, zstd and clocks are a page's. */
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { BuildOptions, Plugin } from 'esbuild';

const root = fileURLToPath(new URL('../../', import.meta.url));
const PAGE = resolve(root, 'test/browser/page');

const INSTEAD: Record<string, string> = {
  vitest: `${PAGE}/vitest.ts`,
  'node:crypto': `${PAGE}/instead/node.ts`,
  [resolve(root, 'client/platform/node.ts')]: `${PAGE}/instead/node.ts`,
  [resolve(root, 'client/platform/crypto-node.ts')]: `${PAGE}/instead/node.ts`,
  [resolve(root, 'server/journal.ts')]: `${PAGE}/instead/node.ts`,
  [resolve(root, 'client/memory-store.ts')]: `${PAGE}/instead/memory-store.ts`,
};

const instead: Plugin = {
  name: 'instead of what is Node',
  setup({ onResolve }) {
    onResolve({ filter: /./ }, ({ path, resolveDir }) => {
      const found = INSTEAD[path.startsWith('.') ? resolve(resolveDir, path) : path];
      return found ? { path: found } : null;
    });
  },
};

/** For `servePage`: a script with `runAll()`, and these files of tests. */
export function clientTests(files: readonly string[]): BuildOptions {
  const imports = files.map((file) => `import './${file}';`);
  return {
    stdin: {
      contents: `${imports.join('\n')}
import { runAll } from './test/browser/page/vitest.ts';
Object.assign(globalThis, { runAll });`,
      resolveDir: root,
      loader: 'ts',
    },
    define: { 'process.env': '{}' },
    plugins: [instead],
  };
}
