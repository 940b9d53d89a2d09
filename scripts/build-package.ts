/**
 * Makes `dist/`: the package as others install it, in plain JavaScript. A clone runs its TypeScript directly; under node_modules Node
 * refuses to strip types, so what is packed must be built.
 *
 *   npm run build && npm install ./dist       or: npm pack ./dist
 *   node scripts/build-package.ts FOLDER      into another folder
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildBrowser } from './build-browser.ts';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = resolve(process.argv[2] ?? join(root, 'dist'));

interface Manifest {
  exports: Record<string, string | Record<string, string>>;
  scripts?: unknown;
  devDependencies?: unknown;
  [field: string]: unknown;
}

function toJavaScript(path: string): string {
  return path.replace(/\.ts$/, '.js');
}

function toTypes(path: string): string {
  return path.replace(/\.ts$/, '.d.ts');
}

rmSync(dist, { recursive: true, force: true });
mkdirSync(dist, { recursive: true });
const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc');
// Twice, because Node's types and a browser's contradict each other.
for (const project of ['tsconfig.build-browser.json', 'tsconfig.build.json'])
  execFileSync(process.execPath, [tsc, '-p', join(root, project), '--outDir', dist], { stdio: 'inherit' });
buildBrowser(join(dist, 'browser'));

const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Manifest;
delete manifest.scripts;
delete manifest.devDependencies;
for (const [name, target] of Object.entries(manifest.exports)) {
  if (name === './package.json') continue;
  const source = typeof target === 'string' ? { default: target } : target;
  const built = Object.entries(source).map(([condition, path]) => [condition, toJavaScript(path)] as const);
  manifest.exports[name] = { types: toTypes(source['default']!), ...Object.fromEntries(built) };
}
// For pages without a bundler. Bundlers find their own parts through the condition `browser` of the package itself.
manifest.exports['./browser'] = { types: './client/browser.d.ts', default: './browser/tidelog.js' };
writeFileSync(join(dist, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);

for (const file of ['README.md', 'LICENSE', 'docs', 'web/dist'])
  cpSync(join(root, file), join(dist, file), {
    recursive: true,
    filter: (path) => path !== join(root, 'docs', 'screens'),
  });
const bin = readFileSync(join(root, 'bin', 'tidelog.js'), 'utf8').replace(
  '../server/cli/main.ts',
  '../server/cli/main.js',
);
mkdirSync(join(dist, 'bin'));
writeFileSync(join(dist, 'bin', 'tidelog.js'), bin, { mode: 0o755 });
