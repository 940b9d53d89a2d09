/**
 * Mistakes that implementations make, as patches of our own, and the cases of the conformance kit that catch each. They show that the kit can
 * fail: a case that passes with its rule broken checks nothing.
 */
import type { Side } from '../../../conformance/index.ts';

export interface PlantedBug {
  readonly id: string;
  /** What a developer did, in a sentence. */
  readonly mistake: string;
  /** Where the kit meets it. */
  readonly side: Side;
  readonly file: string;
  /** Stands in the file exactly once. */
  readonly find: string;
  readonly replace: string;
  /** Cases that fail because of it. */
  readonly caughtBy: readonly string[];
}

export const PLANTED_BUGS: readonly PlantedBug[] = [
  // ---- cursors and streams
  {
    id: 'cursor-inclusive',
    mistake: 'The cursor is taken for the first entry that is wanted: the stream begins with it.',
    side: 'server',
    file: 'client/exchange.ts',
    find: 'return { position: from.seq, known };',
    replace: 'return { position: Math.max(0, from.seq - 1), known };',
    caughtBy: ['11.3/2'],
  },
  {
    id: 'cursor-skips-one',
    mistake: 'The cursor is taken for the next entry, which is then left out.',
    side: 'server',
    file: 'client/exchange.ts',
    find: 'return { position: from.seq, known };',
    replace: 'return { position: Math.min(this.#view.storedHead, from.seq + 1), known };',
    caughtBy: ['11.3/2'],
  },
  {
    id: 'epoch-ignored',
    mistake: "A cursor is believed whatever log it is of: nobody compares its epoch with the log's.",
    side: 'server',
    file: 'client/exchange.ts',
    find: 'this.#history.checkCursor(from.epoch, from.seq);',
    replace: '',
    caughtBy: ['11.3/7', '11.3/8'],
  },
  {
    id: 'vector-off-by-one',
    mistake: 'What the vector names is left out together with the entry behind it.',
    side: 'server',
    file: 'client/exchange.ts',
    find: 'known.set(toHex(id), seq);',
    replace: 'known.set(toHex(id), seq + 1);',
    caughtBy: ['11.3/3'],
  },
  {
    id: 'vector-head-unchecked',
    mistake: 'The ids in a vector are never looked at, so a fork stays unseen.',
    side: 'server',
    file: 'client/exchange.ts',
    find: 'if (chain?.stored.seq === seq && !equal(chain.stored.head, head)) {',
    replace: 'if (chain?.stored.seq === -seq && !equal(chain.stored.head, head)) {',
    caughtBy: ['11.3/6'],
  },
  {
    id: 'filter-stands-still',
    mistake: 'A filtered stream sends nothing where nothing matches, and so its cursor never moves.',
    side: 'server',
    file: 'client/replica/log.ts',
    find: 'filtered?.end(wanted);',
    replace: 'if (filtered && wanted.length === 0) return null as never; filtered?.end(wanted);',
    caughtBy: ['12.5/3'],
  },
  {
    id: 'filter-without-gaps',
    mistake: 'What a filter leaves out is skipped without a gap.',
    side: 'server',
    file: 'client/replica/log.ts',
    find: 'filtered?.end(wanted);',
    replace: 'void filtered;',
    caughtBy: ['12.5/1'],
  },
  {
    id: 'caught-up-for-each-batch',
    mistake: 'CAUGHT_UP is said each time the end of the log is reached.',
    side: 'server',
    file: 'protocol/session.ts',
    find: 'if (!outgoing.saidCaughtUp && digest !== null) {',
    replace: 'if (digest !== null) {',
    caughtBy: ['11.6/2'],
  },
  {
    id: 'caught-up-digest',
    mistake: 'The digest in CAUGHT_UP is taken over the chains in the order in which they were met.',
    side: 'server',
    file: 'protocol/vector.ts',
    find: 'const sorted = [...heads].toSorted((a, b) => compare(a.chain, b.chain));',
    replace: 'const sorted = [...heads].toSorted((a, b) => compare(b.chain, a.chain));',
    caughtBy: ['11.6/1'],
  },
  {
    id: 'ends-before-acknowledged',
    mistake: 'A subscription that is not live ends when all is sent, before it is acknowledged.',
    side: 'server',
    file: 'protocol/session.ts',
    find: 'if (live || !saidCaughtUp || acked < position) return readOn(state, outgoing);',
    replace: 'if (live || !saidCaughtUp) return readOn(state, outgoing);',
    caughtBy: ['11.3/12'],
  },
  {
    id: 'unsubscribe-unanswered',
    mistake: 'UNSUBSCRIBE stops the stream and is not answered.',
    side: 'server',
    file: 'protocol/session.ts',
    find: 'return endOutgoing(state, message.subscription, null);',
    replace: 'return [endOutgoing(state, message.subscription, null)[0], []];',
    caughtBy: ['11.8/1'],
  },
  {
    id: 'zstd-to-everyone',
    mistake: 'Batches are sent packed as they lie on the disk, also to a peer that has not named zstd.',
    side: 'server',
    file: 'client/followers.ts',
    find: "if (this.#host.remote()?.capabilities.includes('zstd')) accepted.add(CODEC.ZSTD);",
    replace: 'accepted.add(CODEC.ZSTD);',
    caughtBy: ['5.1/100'],
  },
  // ---- credit and acknowledgements
  {
    id: 'credit-ignored',
    mistake: 'The sender sends whatever it has, however much is unacknowledged.',
    side: 'server',
    file: 'protocol/session.ts',
    find: 'outgoing.credit >= BATCH_DATA_BYTES_MAX;',
    replace: 'outgoing.credit >= Number.NEGATIVE_INFINITY;',
    caughtBy: ['12.3/1'],
  },
  {
    id: 'credit-unchecked',
    mistake: 'The receiver takes what comes and never counts it against the credit that it gave.',
    side: 'server',
    file: 'protocol/session.ts',
    find: 'if (unacknowledged > incoming.credit) {',
    replace: 'if (unacknowledged > Number.POSITIVE_INFINITY) {',
    caughtBy: ['11.5/8'],
  },
  {
    id: 'ack-before-flush',
    mistake: 'A batch is acknowledged when it has been checked, and stored afterwards.',
    side: 'server',
    file: 'client/following.ts',
    find: 'const { added, duplicates } = await ingested;',
    replace: 'const { added, duplicates } = { added: 0, duplicates: 0 };',
    caughtBy: ['11.7/3'],
  },
  {
    id: 'ack-before-flush-client',
    mistake: 'A batch is acknowledged when it has been checked, and stored afterwards.',
    side: 'client',
    file: 'client/following.ts',
    find: 'const { added, duplicates } = await ingested;',
    replace: 'const { added, duplicates } = { added: 0, duplicates: 0 };',
    caughtBy: ['11.7/3'],
  },
  {
    id: 'ack-without-credit',
    mistake: 'ACKs give no credit back.',
    side: 'client',
    file: 'protocol/session.ts',
    find: "return [settled, [send({ type: 'ACK', subscription, last, credit: bytes }), ...effects]];",
    replace: "return [settled, [send({ type: 'ACK', subscription, last, credit: 0 * bytes }), ...effects]];",
    caughtBy: ['11.7/1'],
  },
  {
    id: 'ack-unchecked',
    mistake: 'An ACK is believed whatever it names.',
    side: 'server',
    file: 'protocol/session.ts',
    find: 'if (last < outgoing.acked || last > outgoing.position) {',
    replace: 'if (last < 0) {',
    caughtBy: ['11.7/4', '11.7/5'],
  },
  {
    id: 'cursor-mismatch-ignored',
    mistake: 'Nobody checks that a batch begins where the one before ended.',
    side: 'client',
    file: 'protocol/session.ts',
    find: 'if (incoming.cursor !== null && batch.prev !== incoming.cursor) {',
    replace: 'if (incoming.cursor !== null && batch.prev < 0) {',
    caughtBy: ['11.5/1', '11.5/2'],
  },
  {
    id: 'cursor-past-a-refusal',
    mistake: 'The cursor is stored by itself, also for a batch behind one that was refused.',
    side: 'client',
    file: 'client/exchange.ts',
    find: "if (line.isBroken) throw new TidelogError('aborted', 'a batch before it was refused');",
    replace: '',
    caughtBy: ['12.2/4'],
  },
];
