/** The library for browsers as one file: it needs nothing else, and how large it is stays in sight. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { buildBrowser } from '../../scripts/build-browser.ts';

/** The aim was 60 kB. A third is noble and MessagePack, and what a peer does is most of the rest: docs/ARCHITECTURE.md has the parts. */
const GZIP_BYTES_MAX = 115_000;

test('is one file without imports, with a source map, and not larger than it was', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'tidelog-bundle-'));
  try {
    const { gzip, imports } = buildBrowser(folder);
    const source = await readFile(join(folder, 'tidelog.js'), 'utf8');
    expect(imports).toEqual([]);
    expect(source.includes('WebAssembly')).toBe(false);
    expect(source.trimEnd().endsWith('//# sourceMappingURL=tidelog.js.map')).toBe(true);
    const { open } = (await import(join(folder, 'tidelog.js'))) as { open: unknown };
    expect(open).toBeTypeOf('function');
    expect(gzip).toBeLessThan(GZIP_BYTES_MAX);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
