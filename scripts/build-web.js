/**
 * Makes `web/dist/`, the page that the node serves: one program and one style sheet, named by what is in them, and the document that loads them.
 * Plain JavaScript, because `npm ci` runs it under whatever Node there is. With `--if-possible` it is no error that the tools for it are not installed.
 *
 *   npm run build:web
 */
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const web = fileURLToPath(new URL('../web/', import.meta.url));
const dist = join(web, 'dist');

const esbuild = await import('esbuild').catch((error) => {
  if (!process.argv.includes('--if-possible')) throw error;
  console.log('The page is not built: esbuild is not installed. `npm ci && npm run build:web` makes it.');
  process.exit(0);
});

await mkdir(dist, { recursive: true });
const { outputFiles } = await esbuild.build({
  ...JSON.parse(await readFile(fileURLToPath(new URL('bundle.json', import.meta.url)), 'utf8')),
  entryPoints: [join(web, 'main.tsx'), join(web, 'styles.css'), join(web, 'icon.svg')],
  loader: { '.svg': 'copy' },
  outdir: dist,
  entryNames: '[name]-[hash]',
  chunkNames: '[name]-[hash]',
  // What a browser that is a device needs is loaded by those alone.
  splitting: true,
  jsx: 'automatic',
  jsxImportSource: 'preact',
  write: false,
  legalComments: 'eof',
  absWorkingDir: web,
});

const made = outputFiles.map(({ path }) => basename(path));
const named = (stem, ending) => {
  const name = made.find((file) => file.startsWith(`${stem}-`) && file.endsWith(ending));
  if (!name) throw new Error(`nothing was made of ${stem}${ending}`);
  return `/web/${name}`;
};
const template = await readFile(join(web, 'index.html'), 'utf8');
const document = template
  .replace('{{script}}', named('main', '.js'))
  .replace('{{styles}}', named('styles', '.css'))
  .replace('{{icon}}', named('icon', '.svg'));

// Each file whole, and the document last: a node that runs looks at it to see whether there is something new. What is as it should be is left alone.
for (const { path, contents } of outputFiles) await put(path, contents);
await put(join(dist, 'index.html'), Buffer.from(document));
for (const old of await readdir(dist)) {
  if (old !== 'index.html' && !old.endsWith('.new') && !made.includes(old))
    await rm(join(dist, old), { recursive: true, force: true });
}

async function put(path, contents) {
  const there = await readFile(path).catch(() => null);
  if (there?.equals(contents)) return;
  await writeFile(`${path}.${process.pid}.new`, contents);
  await rename(`${path}.${process.pid}.new`, path);
}
