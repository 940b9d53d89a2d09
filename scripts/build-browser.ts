/**
 * Makes `dist/browser/tidelog.js`: the library for browsers in one ESM file, with all that it needs, and says how large it is.
 *
 *   npm run build:browser
 */
import { mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { buildSync, type BuildOptions } from 'esbuild';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** How everything of ours is bundled for browsers; the page is, too (build-web.js). */
export const BROWSER_BUNDLE = {
  ...(JSON.parse(readFileSync(join(root, 'scripts', 'bundle.json'), 'utf8')) as BuildOptions),
  absWorkingDir: root,
} as const satisfies BuildOptions;

interface BundleSizes {
  readonly raw: number;
  readonly gzip: number;
  readonly brotli: number;
}

interface Bundle extends BundleSizes {
  /** What it would still have to load. */
  readonly imports: readonly string[];
}

/** Writes the bundle and its source map into `folder`. */
export function buildBrowser(folder: string): Bundle {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, 'tidelog.js');
  const { metafile } = buildSync({
    ...BROWSER_BUNDLE,
    entryPoints: ['client/browser.ts'],
    outfile: file,
    sourcemap: 'linked',
    metafile: true,
  });
  const bytes = readFileSync(file);
  return {
    raw: bytes.length,
    gzip: gzipSync(bytes, { level: 9 }).length,
    brotli: brotliCompressSync(bytes).length,
    imports: Object.values(metafile.outputs).flatMap(({ imports }) => imports.map(({ path }) => path)),
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { raw, gzip, brotli } = buildBrowser(join(root, 'dist', 'browser'));
  process.stdout.write(`dist/browser/tidelog.js: ${raw} bytes, ${gzip} with gzip, ${brotli} with brotli\n`);
}
