/** State records of subjects that came into being in this group and that nothing else of it touched, by key. A table of numbers: no text is made of a key. */
import { equal } from '../../protocol/bytes.ts';
import type { StoreOp } from '../store.ts';

function startsWith(key: Uint8Array, prefix: Uint8Array): boolean {
  return key.length >= prefix.length && prefix.every((byte, i) => key[i] === byte);
}

export class FreshRecords {
  /** value null: taken out again. */
  readonly #ops: StoreOp[] = [];
  #taken = 0;
  #hashes = new Uint32Array(512);
  /** Slot → index + 1, 0 where it is free. Linear probing. */
  #slots = new Int32Array(1024);

  get size(): number {
    return this.#ops.length - this.#taken;
  }

  add(key: Uint8Array, hash: number, record: Uint8Array): void {
    const index = this.#ops.length;
    if (index === this.#hashes.length) this.#grow();
    this.#ops.push({ table: 'state', key, value: record });
    this.#hashes[index] = hash;
    this.#place(hash, index);
  }

  /** Is there one with this hash, or was there? Nothing is taken for fresh where two may be alike. */
  mayHold(hash: number): boolean {
    const mask = this.#slots.length - 1;
    for (let slot = hash & mask; this.#slots[slot] !== 0; slot = (slot + 1) & mask)
      if (this.#hashes[this.#slots[slot]! - 1] === hash) return true;
    return false;
  }

  has(key: Uint8Array, hash: number): boolean {
    return this.#find(key, hash) >= 0;
  }

  /** One whose key begins so. Looks at all of them. */
  hasAny(prefix: Uint8Array): boolean {
    return this.#ops.some(({ key, value }) => value !== null && startsWith(key, prefix));
  }

  /** Takes it out; null where it isn't here. */
  take(key: Uint8Array, hash: number): Uint8Array | null {
    const index = this.#find(key, hash);
    if (index < 0) return null;
    const { value } = this.#ops[index]!;
    this.#ops[index] = { table: 'state', key, value: null };
    this.#taken++;
    return value;
  }

  /** What to write. The array is its own. */
  ops(): StoreOp[] {
    return this.#taken === 0 ? this.#ops : this.#ops.filter(({ value }) => value !== null);
  }

  #find(key: Uint8Array, hash: number): number {
    const mask = this.#slots.length - 1;
    for (let slot = hash & mask; this.#slots[slot] !== 0; slot = (slot + 1) & mask) {
      const index = this.#slots[slot]! - 1;
      if (this.#hashes[index] !== hash) continue;
      const { key: has, value } = this.#ops[index]!;
      if (value !== null && equal(has, key)) return index;
    }
    return -1;
  }

  #place(hash: number, index: number): void {
    const mask = this.#slots.length - 1;
    let slot = hash & mask;
    while (this.#slots[slot] !== 0) slot = (slot + 1) & mask;
    this.#slots[slot] = index + 1;
  }

  #grow(): void {
    const hashes = new Uint32Array(this.#hashes.length * 2);
    hashes.set(this.#hashes);
    this.#hashes = hashes;
    this.#slots = new Int32Array(this.#slots.length * 2);
    for (let i = 0; i < this.#ops.length; i++) this.#place(hashes[i]!, i);
  }
}
