/** What a disk says of forks: the proofs that it keeps, and the entries that were taken out of its log. Read without the product, as in commits.ts. */
import { decode } from '@msgpack/msgpack';
import { branchRange, decodeSetAside, keyBranch } from '../../client/tables.ts';
import { commitOf, idOf, hex, type Commit } from './commits.ts';
import type { Image } from './disk.ts';
import type { KnownFork } from './model-forks.ts';
import { Violation } from './world.ts';

const ROWS_MAX = 100_000;

type Proof = [Uint8Array, Uint8Array, number, Uint8Array, [Uint8Array, Uint8Array][], [Uint8Array, Uint8Array][]];

export function readForks(image: Image, space: Uint8Array): KnownFork[] {
  return image.scan('forks', { ...branchRange(space), limit: ROWS_MAX }).map(([key, bytes]) => {
    const [device, nonce, seq, prev, ...branches] = decode(bytes) as Proof;
    const at = { space, device, nonce, seq, prev };
    const ids = branches.map(([first]) => hex(idOf({ ...at, bodyHash: first![0], signature: first![1] }))) as [
      string,
      string,
    ];
    const place = keyBranch(key);
    if (place.seq !== seq || hex(place.id) !== ids[1])
      throw new Violation('forks', `a proof stands at another place than its own`);
    return { chain: hex(place.chain), seq, prev: hex(prev), ids };
  });
}

/** Where a body was erased before, nothing is known of it but its place. */
export function readSetAside(image: Image, space: Uint8Array): Commit[] {
  return image.scan('setAside', { ...branchRange(space), limit: ROWS_MAX }).map(([key, bytes]) => {
    const { device, nonce, prev, signature, body, bodyHash } = decodeSetAside(bytes);
    const { chain, seq, id } = keyBranch(key);
    const place = { space, device, nonce, seq, prev };
    const commit: Commit = body
      ? commitOf(place, signature, body)
      : {
          ...commitOf(place, signature, EMPTY_BODY),
          id: hex(idOf({ ...place, bodyHash: bodyHash!, signature })),
          changes: null,
        };
    if (commit.chain !== hex(chain) || commit.id !== hex(id))
      throw new Violation('set aside', `${commit.id} stands there as ${hex(id)}`);
    return commit;
  });
}

/** `[0, [], []]` */
const EMPTY_BODY = new Uint8Array([0x93, 0, 0x90, 0x90]);
