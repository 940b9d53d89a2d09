/**
 * Test vectors for other implementations, in test/vectors, which has a README for them.
 *
 *   npm run vectors              are the files what the code makes?
 *   npm run vectors -- --write   make them so: a change of the protocol, or new cases. Others rely on these bytes.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { vectorFiles } from './vectors/all.ts';

const folder = new URL('../test/vectors/', import.meta.url);
const isWrite = process.argv.includes('--write');

function read(name: string): string | null {
  try {
    return readFileSync(new URL(name, folder), 'utf8');
  } catch {
    return null;
  }
}

const different = [...vectorFiles()].filter(([name, text]) => read(name) !== text);
for (const [name, text] of different) {
  if (isWrite) writeFileSync(new URL(name, folder), text);
  console.log(`${name} ${isWrite ? 'written' : 'is not what the code makes'}`);
}
if (different.length === 0) console.log('All vectors are what the code makes.');
else if (!isWrite) {
  console.log('If they are meant to change: npm run vectors -- --write');
  process.exitCode = 1;
}
