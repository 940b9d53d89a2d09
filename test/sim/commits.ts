/**
 * A log as it stands on a disk, read without the product: blocks are batches of the protocol, and what PROTOCOL.md says of those is enough.
 * Only where blocks stand in the store is taken from client/tables.ts.
 */
import { createHash } from 'node:crypto';
import { zstdDecompressSync } from 'node:zlib';
import { decode } from '@msgpack/msgpack';
import type { Ops } from '../../protocol/body.ts';
import { decodeBlock, decodeSpace, spaceEnd, spaceKey } from '../../client/tables.ts';
import type { Image } from './disk.ts';
import { Violation } from './world.ts';

export interface Commit {
  /** hex, as all that follows */
  readonly id: string;
  readonly chain: string;
  readonly device: string;
  readonly seq: number;
  readonly prev: string;
  readonly time: number;
  readonly deps: ReadonlyMap<string, number>;
  /** Of those deps that say it: chain → id. */
  readonly depIds: ReadonlyMap<string, string>;
  /** null: erased */
  readonly changes: readonly (readonly [subject: string, ops: Ops])[] | null;
}

export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

export function sha256(...parts: (string | Uint8Array)[]): Uint8Array {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return new Uint8Array(hash.digest());
}

function u64(value: number): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

/** The commits of a space in the order of the log; null where the space isn't there. Checks nothing but what it needs. */
export function readLog(image: Image, space: Uint8Array): Commit[] | null {
  const record = image.get('spaces', space);
  if (!record) return null;
  const { number, head } = decodeSpace(record);
  const log: Commit[] = [];
  const blocks = image.scan('blocks', { gte: spaceKey(number), lt: spaceEnd(number), limit: Number.MAX_SAFE_INTEGER });
  for (const [key, value] of blocks) {
    log.push(...readBlock(image, space, hex(key), value));
    const last = Number(Buffer.from(key).readBigUInt64BE(4));
    if (last !== log.length)
      throw new Violation('log', `a block ends at ${last} and holds entries up to ${log.length}`);
  }
  if (log.length !== head) throw new Violation('log', `it has ${log.length} entries, and its space says ${head}`);
  return log;
}

type RawBatch = [[Uint8Array, Uint8Array, number, Uint8Array][], (number | Uint8Array)[][], Uint8Array];

interface ReadBlock {
  readonly value: Uint8Array;
  readonly commits: Commit[];
}

/** Image → key of a block → what was read of it last. A log is read again and again, and little of it changes. */
const blocksByImage = new WeakMap<Image, Map<string, ReadBlock>>();

function readBlock(image: Image, space: Uint8Array, key: string, value: Uint8Array): Commit[] {
  let blocks = blocksByImage.get(image);
  if (!blocks) blocksByImage.set(image, (blocks = new Map()));
  const known = blocks.get(key);
  if (known && Buffer.compare(known.value, value) === 0) return known.commits;
  const commits = parseBlock(space, value);
  blocks.set(key, { value, commits });
  return commits;
}

function parseBlock(space: Uint8Array, value: Uint8Array): Commit[] {
  const { codec, data } = decodeBlock(value);
  const raw = codec === 0 ? data : new Uint8Array(zstdDecompressSync(data));
  const [chains, entries, signatures] = decode(raw) as RawBatch;
  const heads = chains.map(([device, nonce, seq, id]) => ({
    device,
    nonce,
    seq,
    id,
  }));
  return entries.map((entry, i): Commit => {
    const head = heads[entry[0] as number]!;
    const signature = signatures.subarray(i * 64, i * 64 + 64);
    const stemOrBody = entry[1] as Uint8Array;
    const place = { space, device: head.device, nonce: head.nonce, seq: head.seq + 1, prev: head.id };
    const isErased = entry.length === 3;
    const commit = isErased
      ? parsed(place, signature, {
          stem: stemOrBody,
          body: decode(Buffer.concat([stemOrBody, Uint8Array.of(0xc0)])),
          changes: entry[2] as Uint8Array,
        })
      : commitOf(place, signature, stemOrBody);
    head.seq++;
    head.id = Buffer.from(commit.id, 'hex');
    return commit;
  });
}

/** Where a commit stands, and what its id is made of beside its body. */
export interface Place {
  readonly space: Uint8Array;
  readonly device: Uint8Array;
  readonly nonce: Uint8Array;
  readonly seq: number;
  readonly prev: Uint8Array;
}

export function commitOf(place: Place, signature: Uint8Array, body: Uint8Array): Commit {
  return parsed(place, signature, splitBody(body));
}

function parsed(place: Place, signature: Uint8Array, { stem, body, changes }: ReturnType<typeof splitBody>): Commit {
  const { space, device, nonce, seq, prev } = place;
  const [time, deps, changed] = body as [number, [Uint8Array, number, Uint8Array?][], [string, Ops][] | null];
  return {
    id: hex(idOf({ ...place, bodyHash: sha256(stem, changes), signature })),
    chain: hex(sha256('tidelog/1 chain', space, device, nonce).subarray(0, 16)),
    device: hex(device),
    seq,
    prev: hex(prev),
    time,
    deps: new Map(deps.map(([chain, upTo]) => [hex(chain), upTo])),
    depIds: new Map(deps.flatMap(([chain, , id]) => (id ? [[hex(chain), hex(id)] as const] : []))),
    changes: changed,
  };
}

export function idOf(of: Place & { readonly bodyHash: Uint8Array; readonly signature: Uint8Array }): Uint8Array {
  const header = Buffer.concat([of.space, of.device, of.nonce, u64(of.seq), of.prev, of.bodyHash]);
  return sha256('tidelog/1 id', header, of.signature);
}

/** The stem is what stands before the changes; their hash is of the rest. */
function splitBody(bytes: Uint8Array): { stem: Uint8Array; body: unknown; changes: Uint8Array } {
  const at = endOf(bytes, endOf(bytes, 1));
  return { stem: bytes.subarray(0, at), body: decode(bytes), changes: sha256(bytes.subarray(at)) };
}

/** Where a value ends, of the kinds that stand in a stem: counts, byte strings, and arrays of such. */
function endOf(bytes: Uint8Array, at: number): number {
  const first = bytes[at]!;
  if (first < 0x80) return at + 1;
  const isShortArray = first >= 0x90 && first < 0xa0;
  if (isShortArray || first === 0xdc) {
    const count = isShortArray ? first - 0x90 : bytes[at + 1]! * 256 + bytes[at + 2]!;
    let end = at + (isShortArray ? 1 : 3);
    for (let i = 0; i < count; i++) end = endOf(bytes, end);
    return end;
  }
  if (first === 0xc4) return at + 2 + bytes[at + 1]!;
  if (first >= 0xcc && first <= 0xcf) return at + 1 + (1 << (first - 0xcc));
  throw new Error(`nothing in a stem begins with ${first.toString(16)}`);
}
