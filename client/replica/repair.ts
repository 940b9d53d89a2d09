/**
 * Makes a log anew without the branches that don't count, after a fork was proven. Every entry that stood in it is admitted again in its order, by
 * the same gate as what comes from others: those on a dropped branch, and those that can't stand without it, are set aside, where they can be
 * listed, exported and written again. The new log grows under a number of its own, beside the one in force, and takes its place in one transaction, with a new
 * epoch: nobody's cursor fits it. Interrupted, it begins again at the next opening.
 */
import { readU32, utf8 } from '../../protocol/bytes.ts';
import { EPOCH_BYTES } from '../../protocol/constants.ts';
import type { Store, StoreOp, Table } from '../store.ts';
import {
  branchKey,
  decodeSpace,
  encodeSetAside,
  encodeSpace,
  spaceKey,
  type SetAsideRecord,
  type SpaceRecord,
} from '../tables.ts';
import type { GroupContext } from './context.ts';
import type { LogEntry } from './entry.ts';
import { Group } from './group.ts';
import { Log } from './log.ts';
import { removeRows } from './remove-rows.ts';
import { sweep } from './sweep.ts';
import { View } from './view.ts';

/** Tables whose keys begin with a space's number. */
const NUMBERED: readonly Table[] = [
  'blocks',
  'blockIndex',
  'chains',
  'knows',
  'state',
  'conflicts',
  'facts',
  'holes',
  'cursors',
];
/** Bytes of entries in one transaction. */
const GROUP_BYTES_MAX = 4 * 1024 * 1024;
const BLOCKS_PER_READ = 64;

/** The record of a log that is being made beside the one in force. */
function recordKeyBeside(space: Uint8Array): Uint8Array {
  const key = new Uint8Array(space.length + 1);
  key.set(space);
  return key;
}

/** Key in `meta` that says: what is left of this number is to be deleted. */
const LEFT_PREFIX = utf8('left ');

function leftKey(number: number): Uint8Array {
  const key = new Uint8Array(LEFT_PREFIX.length + 4);
  key.set(LEFT_PREFIX);
  key.set(spaceKey(number), LEFT_PREFIX.length);
  return key;
}

/** Returns how many entries were set aside. */
export async function repair(context: GroupContext): Promise<number> {
  const { view, store, random } = context;
  const beside = await openBeside(context);
  const droppedFrom = new Map(view.chains.map((chain) => [chain, view.forks.droppedFrom(chain)]));
  const isDropped = ({ chain, seq }: LogEntry): boolean => seq >= (droppedFrom.get(chain) ?? Number.POSITIVE_INFINITY);
  let setAside = 0;
  let group = new Group(beside);
  const flush = async (): Promise<void> => {
    await store.write(group.finish());
    group.settle();
    group = new Group(beside);
  };
  for (let after = 0; ;) {
    const blocks = await context.log.blocksAfter(after, BLOCKS_PER_READ);
    if (blocks.length === 0) break;
    for (const block of blocks) {
      await context.turn();
      const entries = await context.log.entries(block);
      const standing = entries.filter((entry) => !isDropped(entry));
      const isWhole = standing.length === entries.length;
      const refused = await group.addStanding(standing, isWhole ? await context.log.data(block) : null);
      for (const entry of entries) {
        const why = isDropped(entry) ? 'fork' : refused.get(entry);
        const ops = why === undefined ? [] : setAsideOps(view, entry, why);
        group.also(ops);
        setAside += ops.length;
      }
      if (group.bytes > GROUP_BYTES_MAX) await flush();
    }
    after = blocks.at(-1)!.last;
  }
  await flush();
  const made = beside.view;
  if (made.sweep) await sweep(beside);
  const own = view.ownChain && made.chainByHex(view.ownChain.hex);
  const isOwnWhole = own && own.seq === view.ownChain!.seq && !made.forks.has(own.hex);
  made.ownChain = isOwnWhole ? own : null;
  made.epoch = new Uint8Array(random(EPOCH_BYTES));
  const numberBefore = view.number;
  await store.write([
    { table: 'spaces', key: view.recordKey, value: encodeSpace(made.record()) },
    { table: 'spaces', key: made.recordKey, value: null },
    { table: 'meta', key: leftKey(numberBefore), value: new Uint8Array(0) },
  ]);
  await view.load();
  return setAside;
}

async function openBeside(context: GroupContext): Promise<GroupContext> {
  const { view, store, crypto, codecs, keys, turn } = context;
  const recordKey = recordKeyBeside(view.space);
  const record: SpaceRecord = {
    ...view.record(),
    number: await context.takeNumber(),
    head: 0,
    commits: 0,
    subjects: 0,
    conflicted: 0,
    blockBytes: 0,
    ownChain: null,
    sweep: false,
    rebuild: false,
  };
  await removeBeside(store, view.space);
  await store.write([{ table: 'spaces', key: recordKey, value: encodeSpace(record) }]);
  const made = new View(crypto, store, keys.public, view.space, record.number, recordKey);
  await made.load();
  for (const hex of made.forks.chains) made.forks.setBranch(hex, new Map());
  return { ...context, view: made, log: new Log(crypto, store, codecs, made, turn) };
}

function setAsideOps({ space }: View, entry: LogEntry, why: string): StoreOp[] {
  // A gap holds nothing.
  if (entry.kind === 'gap') return [];
  const { chain, seq, id, prev, signature } = entry;
  const isWhole = entry.kind === 'commit';
  const record: SetAsideRecord = {
    device: chain.device,
    nonce: chain.nonce,
    prev,
    signature,
    body: isWhole ? entry.body : null,
    bodyHash: isWhole ? null : entry.bodyHash,
    why,
    republished: false,
  };
  return [{ table: 'setAside', key: branchKey(space, chain.id, seq, id), value: encodeSetAside(record) }];
}

/** What an interrupted repair left of a space. */
async function removeBeside(store: Store, space: Uint8Array): Promise<void> {
  const key = recordKeyBeside(space);
  const bytes = await store.get('spaces', key);
  if (!bytes) return;
  await removeNumber(store, decodeSpace(bytes).number);
  await store.write([{ table: 'spaces', key, value: null }]);
}

/** Goes on where a crash stopped the deletion of a log that was replaced. */
export async function removeWhatIsLeft(store: Store): Promise<void> {
  const end = LEFT_PREFIX.slice();
  end[end.length - 1]!++;
  for (const [key] of await store.scan('meta', { gte: LEFT_PREFIX, lt: end, limit: 1000 })) {
    await removeNumber(store, readU32(key, LEFT_PREFIX.length));
  }
}

async function removeNumber(store: Store, number: number): Promise<void> {
  await removeRows(store, NUMBERED, number);
  await store.write([{ table: 'meta', key: leftKey(number), value: null }]);
}
