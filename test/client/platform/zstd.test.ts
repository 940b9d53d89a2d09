import { constants, zstdCompressSync } from 'node:zlib';

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { zstdNode } from '../../../client/platform/zstd-node.ts';
import { zstdPortable } from '../../../client/platform/zstd-portable.ts';
import { concat, fromHex, utf8 } from '../../../protocol/bytes.ts';
import { noneCodec, type Codec } from '../../../protocol/codec.ts';
import { BATCH_RAW_BYTES_MAX } from '../../../protocol/constants.ts';
import { TidelogError } from '../../../protocol/errors.ts';

const GIGABYTE = 1024 ** 3;
const pack = zstdNode.pack!;
const both: [string, Codec][] = [
  ['node', zstdNode],
  ['portable', zstdPortable],
];

/** A header of single-segment form with a size of four bytes, and then blocks: [type, size, content]. */
function frame(contentBytes: number, ...blocks: [type: number, size: number, content: Uint8Array][]): Uint8Array {
  const size = Uint8Array.of(contentBytes, contentBytes >>> 8, contentBytes >>> 16, contentBytes >>> 24);
  const parts = blocks.map(([type, size, content], i) => {
    const header = (size << 3) | (type << 1) | (i === blocks.length - 1 ? 1 : 0);
    return concat(Uint8Array.of(header, header >>> 8, header >>> 16), content);
  });
  return concat(fromHex('28b52ffda0')!, size, ...parts);
}

const RAW = 0;
const RLE = 1;
const COMPRESSED = 2;

const TEXT = utf8('note/title/Milk/done/');

/** Text that compresses and noise that doesn't, as in a block of a log. */
function sample(bytes: number, seed = 1): Uint8Array {
  let state = seed;
  const random = () => (state = (Math.imul(state, 1103515245) + 12345) >>> 0) >>> 16;
  return new Uint8Array(bytes).map((_, i) => (i % 240 < 64 ? random() : TEXT[i % TEXT.length]!));
}

/** What comes of it: the bytes, or the code of a TidelogError. Anything else that is thrown fails the test. */
function outcome(codec: Codec, data: Uint8Array, rawBytes: number): Uint8Array | string {
  try {
    return codec.unpack(data, rawBytes);
  } catch (error) {
    if (!(error instanceof TidelogError)) throw error;
    return error.code;
  }
}

describe('none', () => {
  test('gives back what it was given, of the declared size only', () => {
    const data = utf8('text');
    expect(noneCodec.unpack(noneCodec.pack!(data), 4)).toEqual(data);
    expect(outcome(noneCodec, data, 3)).toBe('bad-batch');
    expect(outcome(noneCodec, data, 5)).toBe('bad-batch');
  });
});

describe.each(both)('zstd, %s', (_, codec) => {
  test.each([0, 1, 255, 256, 300, 65_535, 65_536, 131_072, 131_073, 300_000, 2_000_000, BATCH_RAW_BYTES_MAX])(
    '%i bytes come back',
    (bytes) => {
      for (const raw of [sample(bytes), new Uint8Array(bytes)]) {
        const unpacked = codec.unpack(pack(raw), bytes);
        expect(Buffer.compare(unpacked, raw)).toBe(0);
        expect(unpacked.constructor).toBe(Uint8Array);
      }
    },
  );

  test('every level that another encoder may use', () => {
    const raw = sample(200_000);
    for (const level of [-5, 1, 3, 9, 19, 22]) {
      const packed = zstdCompressSync(raw, { params: { [constants.ZSTD_c_compressionLevel]: level } });
      expect(Buffer.compare(codec.unpack(packed, raw.length), raw), `level ${level}`).toBe(0);
    }
  });

  test('any bytes come back (random)', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2000 }), (raw) => {
        expect(codec.unpack(pack(raw), raw.length)).toEqual(raw);
      }),
    );
  });

  describe('refuses, with bad-batch,', () => {
    const raw = sample(10_000);
    const packed = pack(raw);
    const withParameter = (name: number) => zstdCompressSync(raw, { params: { [name]: 1 } });
    test.each<[string, Uint8Array, number]>([
      ['nothing', new Uint8Array(), 0],
      ['a size below the real one', packed, raw.length - 1],
      ['a size above the real one', packed, raw.length + 1],
      ['a size that is not whole', packed, 9_999.5],
      ['a size below zero', packed, -1],
      ['two frames', concat(packed, packed), raw.length],
      ['two frames whose sum is declared', concat(packed, packed), 2 * raw.length],
      ['a byte after the frame', concat(packed, Uint8Array.of(0)), raw.length],
      ['a frame that ends early', packed.subarray(0, -1), raw.length],
      ['a frame of a header only', packed.subarray(0, 7), raw.length],
      ['a skippable frame before it', concat(fromHex('502a4d180400000000000000')!, packed), raw.length],
      ['a frame with a checksum', withParameter(constants.ZSTD_c_checksumFlag), raw.length],
      [
        'a frame that does not declare its size',
        zstdCompressSync(raw, { params: { [constants.ZSTD_c_contentSizeFlag]: 0 } }),
        raw.length,
      ],
      ['a frame with a dictionary', concat(fromHex('28b52ffd2101')!, packed.subarray(5)), raw.length],
      ['a frame with a reserved bit', concat(fromHex('28b52ffd68')!, packed.subarray(5)), raw.length],
      ['a frame of the old format', fromHex('27b52ffd2000010000')!, 0],
      ['a block of the reserved type', frame(0, [3, 0, new Uint8Array()]), 0],
      ['a block past the limit of one', frame(200_000, [RLE, 200_000, Uint8Array.of(0)]), 200_000],
      ['a block past the end', frame(500, [RAW, 500, new Uint8Array(10)]), 500],
      ['fewer bytes than declared', frame(100, [RAW, 5, utf8('12345')]), 100],
      ['more bytes than declared', frame(4, [RAW, 5, utf8('12345')]), 4],
      ['an empty compressed block', frame(4, [COMPRESSED, 0, new Uint8Array()]), 4],
    ])('%s', (_name, data, rawBytes) => {
      expect(outcome(codec, data, rawBytes)).toBe('bad-batch');
    });

    test('a compressed block that holds less than declared, and one that holds more', () => {
      const real = sample(1000);
      const block = pack(real).subarray(7);
      for (const claimed of [999, 1001, 256]) {
        const lying = concat(
          pack(real).subarray(0, 5),
          Uint8Array.of((claimed - 256) & 255, (claimed - 256) >> 8),
          block,
        );
        expect(outcome(codec, lying, claimed), `${claimed}`).toBe('bad-batch');
      }
    });
  });

  describe('bombs', () => {
    /** Bytes that are held while `work` runs, at most; buffers of zlib are outside of the heap. */
    function allocated(work: () => void): number {
      const before = process.memoryUsage().arrayBuffers;
      work();
      return process.memoryUsage().arrayBuffers - before;
    }

    test('a gigabyte that is declared in the frame is refused by its header', () => {
      const data = frame(GIGABYTE, [RLE, 131_072, Uint8Array.of(0)]);
      const before = performance.now();
      expect(allocated(() => expect(outcome(codec, data, GIGABYTE)).toBe('batch-too-large'))).toBeLessThan(1e6);
      expect(allocated(() => expect(outcome(codec, data, 1000)).toBe('bad-batch'))).toBeLessThan(1e6);
      expect(performance.now() - before).toBeLessThan(100);
    });

    test('a window of a gigabyte is refused by its header', () => {
      // Not single-segment: descriptor 0x80, window 0xa0 = 2^30.
      const data = concat(fromHex('28b52ffd80a0')!, Uint8Array.of(100, 0, 0, 0), fromHex('230300')!, Uint8Array.of(0));
      expect(allocated(() => expect(outcome(codec, data, 100)).toBe('bad-batch'))).toBeLessThan(1e6);
    });

    test('a frame that repeats more than it declares is refused before it is unpacked', () => {
      const blocks = Array.from({ length: 8192 }, (): [number, number, Uint8Array] => [RLE, 131_072, Uint8Array.of(0)]);
      const data = frame(200_000, ...blocks);
      expect(allocated(() => expect(outcome(codec, data, 200_000)).toBe('bad-batch'))).toBeLessThan(1e6);
    });

    test('compressed blocks that hold a gigabyte stop at what was declared', () => {
      // One compressed block of 128 KiB of zeros, 8,192 times, behind a header that declares 200,000 bytes.
      const zeros = pack(new Uint8Array(300_000));
      const headerBytes = 5 + 4 + ((zeros[4]! & 32) === 0 ? 1 : 0);
      const size = (zeros[headerBytes]! | (zeros[headerBytes + 1]! << 8) | (zeros[headerBytes + 2]! << 16)) >> 3;
      const block = zeros.slice(headerBytes + 3, headerBytes + 3 + size);
      expect((zeros[headerBytes]! >> 1) & 3).toBe(COMPRESSED);
      const data = frame(
        200_000,
        ...Array.from({ length: 8192 }, (): [number, number, Uint8Array] => [COMPRESSED, size, block]),
      );
      const before = performance.now();
      expect(outcome(codec, data, 200_000)).toBe('bad-batch');
      expect(performance.now() - before).toBeLessThan(200);
    });
  });
});

describe('zstd, both', () => {
  const raws = [sample(50), sample(3000), sample(140_000), new Uint8Array(5000)];

  test('a block that says that it holds 36,863 copies of 64 KiB is refused at the first that is too many', () => {
    const data = fromHex('28b52ffd6060e9f500000841ffff1054000034ffffffffffffffffffffffffffffffffffffffff01')!;
    // It took fzstd half a minute, which is what a test may take here.
    for (const [name, codec] of both) expect(outcome(codec, data, 60_000), name).toBe('bad-batch');
  });

  test('of any bytes: a value of the declared size, or a TidelogError (random)', () => {
    const anything = fc.tuple(fc.uint8Array({ maxLength: 300 }), fc.boolean(), fc.nat(400));
    fc.assert(
      fc.property(anything, ([bytes, withHeader, rawBytes]) => {
        const data = withHeader ? concat(fromHex('28b52ffd60')!, Uint8Array.of(rawBytes - 256, 0), bytes) : bytes;
        for (const [, codec] of both) {
          const result = outcome(codec, data, rawBytes);
          if (typeof result !== 'string') expect(result).toHaveLength(rawBytes);
        }
      }),
      { numRuns: 3000 },
    );
  });

  test('of a damaged frame: what Node unpacks, the portable one unpacks to the same, and it refuses what Node refuses (random)', () => {
    const damage = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 3 });
    let kept = 0;
    fc.assert(
      fc.property(fc.constantFrom(...raws), damage, (raw, changes) => {
        const data = pack(raw).slice();
        for (const [at, byte] of changes) data[at % data.length] = byte;
        const node = outcome(zstdNode, data, raw.length);
        const portable = outcome(zstdPortable, data, raw.length);
        if (typeof node !== 'string') kept++;
        expect(portable).toEqual(node);
      }),
      { numRuns: 1500 },
    );
    expect(kept).toBeGreaterThan(0);
  });
});
