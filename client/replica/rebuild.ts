/**
 * Makes the state anew from the log: state is a function of the log, so dropping it and rebuilding gives the same bytes. In many
 * transactions; a flag on the space stands from the first to the last, so that one that was interrupted begins again at the next opening.
 */
import { decodeKnownBody, decodeStem } from '../../protocol/body.ts';
import type { Author } from '../../protocol/merge.ts';
import type { GroupContext } from './context.ts';
import type { LogEntry } from './entry.ts';
import { StateDraft, type PastCommit } from './state.ts';
import type { StoreOp } from '../store.ts';
import { encodeSpace, spaceEnd, spaceKey } from '../tables.ts';
import type { View } from './view.ts';

/** Commits in one transaction. */
const COMMITS_PER_WRITE = 2000;
const ROWS_PER_DELETE = 5000;

/** @param onProgress entries done, of all */
export async function rebuild(
  context: GroupContext,
  onProgress: (done: number, total: number) => void = () => {},
): Promise<void> {
  const { view, store, log } = context;
  view.rebuild = true;
  view.subjects = 0;
  view.conflicted = 0;
  await store.write([spaceRecord(view)]);
  await clear(context);

  const walk = new KnowledgeWalk(view);
  /** Subjects whose counters had to be split: replayed by themselves at the end. */
  const late = new Set<string>();
  let commits: PastCommit[] = [];
  const flush = async (): Promise<void> => {
    const state = new StateDraft(store, view);
    const changed = commits.map(({ author, changes }) => ({
      author,
      changes: changes.filter(({ subject }) => !late.has(subject)),
    }));
    await state.apply(changed, (subject) => {
      late.add(subject);
      return log.replay(subject, []);
    });
    await store.write([...state.ops(), spaceRecord(view)]);
    commits = [];
  };
  for await (const entry of log.after(0)) {
    if (entry.kind === 'erased') walk.learn(entry, decodeStem(entry.stem).deps);
    if (entry.kind === 'commit') {
      const body = decodeKnownBody(entry.body);
      walk.learn(entry, body.deps);
      if (!log.isVoid(entry, body)) commits.push({ author: walk.author(entry, body.time), changes: body.changes });
    }
    if (commits.length < COMMITS_PER_WRITE) continue;
    await flush();
    onProgress(entry.position, view.head);
  }
  view.rebuild = false;
  await flush();
  onProgress(view.head, view.head);
}

function spaceRecord(view: View): StoreOp {
  return { table: 'spaces', key: view.space, value: encodeSpace(view.record()) };
}

async function clear({ store, view }: GroupContext): Promise<void> {
  for (const table of ['state', 'conflicts'] as const) {
    for (;;) {
      const page = await store.scan(table, {
        gte: spaceKey(view.number),
        lt: spaceEnd(view.number),
        limit: ROWS_PER_DELETE,
      });
      if (page.length === 0) break;
      await store.write(page.map(([key]) => ({ table, key, value: null })));
    }
  }
}

/** What each author had seen, along the log: each commit's deps say what changed since its chain's previous one. */
class KnowledgeWalk {
  readonly #view: View;
  /** Chain → other chain → each time that it learned: at its own seq, the other's. Oldest first. */
  readonly #learned = new Map<number, Map<number, { at: number; seq: number }[]>>();

  constructor(view: View) {
    this.#view = view;
  }

  learn({ chain, seq }: LogEntry, deps: readonly { readonly chain: Uint8Array; readonly seq: number }[]): void {
    if (deps.length === 0) return;
    const learned = this.#learned.get(chain.number) ?? new Map<number, { at: number; seq: number }[]>();
    this.#learned.set(chain.number, learned);
    for (const dep of deps) {
      const other = this.#view.chainById(dep.chain)!.number;
      const times = learned.get(other) ?? [];
      learned.set(other, times);
      if ((times.at(-1)?.seq ?? 0) < dep.seq) times.push({ at: seq, seq: dep.seq });
    }
  }

  /** Commits are applied some time after they were walked over, so what was learned since must not count. */
  author({ chain, seq }: LogEntry, time: number): Author {
    const learned = this.#learned.get(chain.number);
    const past = (other: number): number => {
      if (other === chain.number) return seq - 1;
      return learned?.get(other)?.findLast(({ at }) => at <= seq)?.seq ?? 0;
    };
    return { chain: chain.number, seq, time, past, rankOf: (other) => this.#view.chains[other]!.rank };
  }
}
