/**
 * Looks at the pages of an LMDB file without LMDB, which has no checksums, believes every number in them, and ends the process with SIGSEGV or SIGABRT for
 * one that is wrong. It takes as long as reading all pages but those of large values: 0.4 s for 47,000 of them that are in memory. So it is done where there
 * is a reason: the last process ended without a word, or somebody asks.
 *
 *   page   number u64 | txn u64 | pad u16 | flags u16 | lower u16, upper u16 (of large values: pages u32) | offsets of nodes u16 each | … nodes
 *   node   low u16 | high u16 | flags u16 | key bytes u16 | key | data        low and high: data bytes, or the child's page
 *   tree   pad u32 | flags u16 | depth u16 | branch, leaf and overflow pages u64 each | entries u64 | root u64
 *   meta   magic u32 | version u32 | address u64 | map bytes u64 | tree of free pages | tree of trees | last page u64 | txn u64
 *
 * Offsets, lower and upper count from behind the page's header. What it can't see is a changed key or value that is a key or value still.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

import { TidelogError } from '../protocol/errors.ts';

const HEADER_BYTES = 24;
const NODE_BYTES = 8;
const TREE_BYTES = 48;
const OVERFLOW_BYTES = 24;
const PAGE = { BRANCH: 0x01, LEAF: 0x02, OVERFLOW: 0x04 } as const;
const NODE = { BIG: 0x01, TREE: 0x02 } as const;
/** Of a tree that holds nothing. */
const NO_PAGE = 2n ** 64n - 1n;
/** Trees of four billion pages are not this deep. */
const DEPTH_MAX = 32;
const LITTLE = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

interface Tree {
  readonly depth: number;
  readonly pages: readonly [branch: bigint, leaf: bigint, overflow: bigint];
  readonly entries: bigint;
  readonly root: bigint;
}

/** Throws `data-damaged`. `pageBytes` and the last page are those that LMDB would go by. */
export async function checkPages(path: string): Promise<{ readonly pages: number }> {
  const fd = openSync(path, 'r');
  try {
    return await new Checker(path, fd).check();
  } finally {
    closeSync(fd);
  }
}

class Checker {
  readonly #path: string;
  readonly #fd: number;
  readonly #seen = new Set<bigint>();
  #pageBytes = 0;
  #lastPage = 0n;

  constructor(path: string, fd: number) {
    this.#path = path;
    this.#fd = fd;
  }

  async check(): Promise<{ pages: number }> {
    const { size } = fstatSync(this.#fd);
    if (size === 0) return { pages: 0 };
    const first = this.#read(0, HEADER_BYTES + 144);
    this.#pageBytes = u32(first, HEADER_BYTES + 24);
    const isSize =
      this.#pageBytes >= 512 && this.#pageBytes <= 65_536 && (this.#pageBytes & (this.#pageBytes - 1)) === 0;
    if (!isSize) throw this.#damaged(0, `pages of ${this.#pageBytes} bytes`);
    const second = this.#read(this.#pageBytes, HEADER_BYTES + 144);
    // LMDB goes by that of the newer, and ends the process where it has no memory for such pages.
    const other = u32(second, HEADER_BYTES + 24);
    if (other !== this.#pageBytes)
      throw this.#damaged(1, `pages of ${other} bytes, and of ${this.#pageBytes} in page 0`);
    const txn = HEADER_BYTES + 24 + 2 * TREE_BYTES + 8;
    const meta = u64(first, txn) >= u64(second, txn) ? first : second;
    this.#lastPage = u64(meta, txn - 8);
    if (this.#lastPage < 1n || (this.#lastPage + 1n) * BigInt(this.#pageBytes) > BigInt(size))
      throw this.#damaged(0, `its last page is ${this.#lastPage}`);
    await this.#tree(meta, HEADER_BYTES + 24, 'free pages');
    await this.#tree(meta, HEADER_BYTES + 24 + TREE_BYTES, 'tables');
    return { pages: this.#seen.size };
  }

  async #tree(bytes: DataView, at: number, name: string): Promise<void> {
    const tree: Tree = {
      depth: u16(bytes, at + 6),
      pages: [u64(bytes, at + 8), u64(bytes, at + 16), u64(bytes, at + 24)],
      entries: u64(bytes, at + 32),
      root: u64(bytes, at + 40),
    };
    if (tree.root === NO_PAGE) {
      if (tree.entries !== 0n) throw this.#damaged(0, `${name} has entries and no pages`);
      return;
    }
    if (tree.depth < 1 || tree.depth > DEPTH_MAX) throw this.#damaged(0, `${name} is ${tree.depth} pages deep`);
    const found = { pages: [0n, 0n, 0n] as [bigint, bigint, bigint], entries: 0n };
    await this.#page(tree.root, tree.depth, found);
    if (found.entries !== tree.entries || found.pages.some((count, i) => count !== tree.pages[i]))
      throw this.#damaged(Number(tree.root), `${name} has ${found.entries} entries and should have ${tree.entries}`);
  }

  async #page(
    number: bigint,
    depth: number,
    found: { pages: [bigint, bigint, bigint]; entries: bigint },
  ): Promise<void> {
    const page = await this.#take(number, this.#pageBytes);
    const flags = u16(page, 18);
    const isLeaf = depth === 1;
    if (flags !== (isLeaf ? PAGE.LEAF : PAGE.BRANCH)) throw this.#damaged(Number(number), `flags ${flags}`);
    found.pages[isLeaf ? 1 : 0]++;
    const room = this.#pageBytes - HEADER_BYTES;
    const [lower, upper] = [u16(page, 20), u16(page, 22)];
    if (lower % 2 !== 0 || lower === 0 || lower > upper || upper > room)
      throw this.#damaged(Number(number), 'its bounds');
    for (let i = 0; i < lower / 2; i++) {
      const offset = u16(page, HEADER_BYTES + 2 * i);
      const at = HEADER_BYTES + offset;
      if (offset < upper || offset + NODE_BYTES > room) throw this.#damaged(Number(number), `node ${i}`);
      const end = offset + NODE_BYTES + u16(page, at + 6);
      if (end > room) throw this.#damaged(Number(number), `the key of node ${i}`);
      if (isLeaf) {
        found.entries++;
        await this.#leaf(page, number, at, HEADER_BYTES + end, found);
      } else {
        const child = BigInt(u16(page, at)) + (BigInt(u16(page, at + 2)) << 16n) + (BigInt(u16(page, at + 4)) << 32n);
        await this.#page(child, depth - 1, found);
      }
    }
  }

  async #leaf(
    page: DataView,
    number: bigint,
    at: number,
    dataAt: number,
    found: { pages: [bigint, bigint, bigint] },
  ): Promise<void> {
    const bytes = u16(page, at) + u16(page, at + 2) * 65_536;
    const flags = u16(page, at + 4);
    const here = flags === NODE.BIG ? OVERFLOW_BYTES : bytes;
    if ((flags !== 0 && flags !== NODE.BIG && flags !== NODE.TREE) || dataAt + here > this.#pageBytes)
      throw this.#damaged(Number(number), 'a value');
    if (flags === NODE.TREE) {
      if (bytes !== TREE_BYTES) throw this.#damaged(Number(number), 'a table');
      await this.#tree(page, dataAt, 'a table');
    }
    if (flags !== NODE.BIG) return;
    const first = u64(page, dataAt);
    const header = await this.#take(first, HEADER_BYTES);
    const pages = u32(header, 20);
    const isRight =
      u16(header, 18) === PAGE.OVERFLOW &&
      BigInt(pages) === u64(page, dataAt + 16) &&
      HEADER_BYTES + bytes <= pages * this.#pageBytes &&
      first + BigInt(pages) - 1n <= this.#lastPage;
    if (!isRight) throw this.#damaged(Number(first), 'a large value');
    found.pages[2] += BigInt(pages);
  }

  /** A page that no other names, and that says it is the one. */
  async #take(number: bigint, bytes: number): Promise<DataView> {
    if (number < 2n || number > this.#lastPage) throw this.#damaged(Number(number), 'there is no such page');
    if (this.#seen.has(number)) throw this.#damaged(Number(number), 'it has two places');
    this.#seen.add(number);
    const page = this.#read(Number(number) * this.#pageBytes, bytes);
    if (u64(page, 0) !== number) throw this.#damaged(Number(number), 'it is another page');
    return page;
  }

  /** Here and not in another thread, which takes ten times as long for a page; nothing else waits while a store is opened. */
  #read(at: number, bytes: number): DataView {
    const buffer = new Uint8Array(bytes);
    if (readSync(this.#fd, buffer, 0, bytes, at) < bytes)
      throw new TidelogError('data-damaged', `${this.#path} is cut off`);
    return new DataView(buffer.buffer);
  }

  #damaged(page: number, what: string): TidelogError {
    return new TidelogError('data-damaged', `${this.#path}, page ${page}: ${what}`);
  }
}

function u16(view: DataView, at: number): number {
  return view.getUint16(at, LITTLE);
}
function u32(view: DataView, at: number): number {
  return view.getUint32(at, LITTLE);
}
function u64(view: DataView, at: number): bigint {
  return view.getBigUint64(at, LITTLE);
}
