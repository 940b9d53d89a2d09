/**
 * Makes the state anew from the log: state is a function of the log, so dropping it and rebuilding gives the same bytes. In many
 * transactions; a flag on the space stands from the first to the last, so that one that was interrupted begins again at the next opening.
 */
import { decodeKnownBody, decodeStem } from '../../protocol/body.ts';
import type { GroupContext } from './context.ts';
import { KnowledgeWalk } from './knowledge.ts';
import { relearn } from './relearn.ts';
import { StateDraft, type PastCommit } from './state.ts';
import type { StoreOp } from '../store.ts';
import { encodeSpace } from '../tables.ts';
import { removeRows } from './remove-rows.ts';
import type { View } from './view.ts';

/** Commits in one transaction. */
const COMMITS_PER_WRITE = 2000;

/** @param onProgress entries done, of all */
export async function rebuild(
  context: GroupContext,
  onProgress: (done: number, total: number) => void = () => {},
): Promise<void> {
  const { view, store, log } = context;
  view.rebuild = true;
  view.subjects = 0;
  view.conflicted = 0;
  await store.write([spaceRecord(view, false)]);
  await relearn(context);
  await removeRows(store, ['state', 'conflicts'], view.number);

  const walk = new KnowledgeWalk(view);
  /** Subjects whose counters had to be split: replayed by themselves at the end. */
  const late = new Set<string>();
  /** Subjects of commits that stand after one that had seen them: replayed when all else is done. */
  const overtaken = new Set<string>();
  let commits: PastCommit[] = [];
  const flush = async (isLast: boolean): Promise<void> => {
    const state = new StateDraft(store, view);
    const changed = commits.map(({ author, changes }) => ({
      author,
      changes: changes.filter(({ subject }) => !late.has(subject)),
    }));
    await state.apply(changed, (subject) => {
      late.add(subject);
      return log.replay(subject, []);
    });
    if (isLast) {
      await state.load(overtaken);
      for await (const [subject, resource] of log.replayEach(overtaken, () => false)) state.replace(subject, resource);
    }
    await store.write([...state.ops(), spaceRecord(view, isLast)]);
    commits = [];
  };
  for await (const entry of log.after(0)) {
    if (entry.kind === 'erased') walk.learn(entry, decodeStem(entry.stem).deps);
    if (entry.kind === 'commit') {
      const body = decodeKnownBody(entry.body);
      walk.learn(entry, body.deps);
      if (!log.isVoid(entry, body)) commits.push({ author: walk.author(entry, body.time), changes: body.changes });
      if (walk.isLate(entry)) for (const { subject } of body.changes) if (view.keeps(subject)) overtaken.add(subject);
    }
    if (commits.length < COMMITS_PER_WRITE) continue;
    await flush(false);
    onProgress(entry.position, view.head);
  }
  await flush(true);
  // Not before: until then the disk lacks some of it.
  view.rebuild = false;
  onProgress(view.head, view.head);
}

function spaceRecord(view: View, isMade: boolean): StoreOp {
  return { table: 'spaces', key: view.recordKey, value: encodeSpace({ ...view.record(), rebuild: !isMade }) };
}
