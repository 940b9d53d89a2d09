/** State records of subjects that came into being in this group and that nothing else of it touched, by key. A table of numbers: no text is made of a key. */
import { equal } from '../../protocol/bytes.ts';
import type { StoreOp } from '../store.ts';

export class FreshRecords {
  readonly #keys: Uint8Array[] = [];
  /** null: taken out again. */
  readonly #records: (Uint8Array | null)[] = [];
  #hashes = new Uint32Array(512);
  /** Slot → index + 1, 0 where it is free. Linear probing. */
  #slots = new Int32Array(1024);
  size = 0;

  add(key: Uint8Array, hash: number, record: Uint8Array): void {
    const index = this.#keys.length;
    if (index === this.#hashes.length) this.#grow();
    this.#keys.push(key);
    this.#records.push(record);
    this.#hashes[index] = hash;
    this.#place(hash, index);
    this.size++;
  }

  /** Is there one with this hash? Nothing is taken for fresh where two may be alike. */
  mayHold(hash: number): boolean {
    const mask = this.#slots.length - 1;
    for (let slot = hash & mask; this.#slots[slot] !== 0; slot = (slot + 1) & mask)
      if (this.#hashes[this.#slots[slot]! - 1] === hash) return true;
    return false;
  }

  has(key: Uint8Array, hash: number): boolean {
    const index = this.#find(key, hash);
    return index >= 0 && this.#records[index] !== null;
  }

  /** Takes it out; null where it isn't here. */
  take(key: Uint8Array, hash: number): Uint8Array | null {
    const index = this.#find(key, hash);
    if (index < 0) return null;
    const record = this.#records[index]!;
    if (record === null) return null;
    this.#records[index] = null;
    this.size--;
    return record;
  }

  ops(): StoreOp[] {
    const ops: StoreOp[] = [];
    for (let i = 0; i < this.#keys.length; i++) {
      const value = this.#records[i]!;
      if (value !== null) ops.push({ table: 'state', key: this.#keys[i]!, value });
    }
    return ops;
  }

  #find(key: Uint8Array, hash: number): number {
    const mask = this.#slots.length - 1;
    for (let slot = hash & mask; this.#slots[slot] !== 0; slot = (slot + 1) & mask) {
      const index = this.#slots[slot]! - 1;
      if (this.#hashes[index] === hash && equal(this.#keys[index]!, key)) return index;
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
    for (let i = 0; i < this.#keys.length; i++) this.#place(hashes[i]!, i);
  }
}
