/** The copy that a log goes into which somebody hands in. */
import type { Peer } from '../../client/peer.ts';
import type { Space } from '../../client/space.ts';
import { toHex } from '../../protocol/bytes.ts';

/** Those that go on into one copy. */
interface Intakes {
  /** It wasn't here before the first of them. */
  readonly isNew: boolean;
  count: number;
}

/** By space, hex. */
const intakesOf = new WeakMap<Peer, Map<string, Intakes>>();

/** `take` with the copy, which is made where there is none. Where it fails, a copy that was made for it and is empty goes again. */
export async function withCopy<T>(peer: Peer, id: Uint8Array, take: (space: Space) => Promise<T>): Promise<T> {
  const bySpace = intakesOf.get(peer) ?? new Map<string, Intakes>();
  intakesOf.set(peer, bySpace);
  const hex = toHex(id);
  const intakes = bySpace.get(hex) ?? { isNew: !peer.spaces.some((space) => space.hex === hex), count: 0 };
  bySpace.set(hex, intakes);
  intakes.count++;
  try {
    const space = await peer.addCopy(id, '');
    try {
      return await take(space);
    } catch (thrown) {
      // Another that goes on into it needs it; the last of them sees to it.
      if (intakes.isNew && intakes.count === 1) await peer.forgetEmptyCopy(space);
      throw thrown;
    }
  } finally {
    if (--intakes.count === 0) bySpace.delete(hex);
  }
}
