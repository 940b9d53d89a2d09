/** What most cases of chapters 2 to 9 do: an author of the kit's writes, and the implementation takes it or refuses it. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { AuthenticEntry } from '../protocol/authenticate.ts';
import type { Batch } from '../protocol/batch.ts';
import { concat, equal, toHex } from '../protocol/bytes.ts';
import type { ErrorCode } from '../protocol/errors.ts';
import type { BatchMessage } from '../protocol/messages.ts';
import { decodeBody } from '../protocol/body.ts';
import type { Role } from '../protocol/membership.ts';
import { encode } from '../protocol/msgpack.ts';
import type { Case, Trial } from './case.ts';
import { crypto, random } from './device.ts';
import type { Line, Pull } from './line.ts';
import { expect, Skip, Violation } from './violation.ts';
import type { Author, Commit } from './world.ts';

/** Gives the ids of a section's cases in the order in which they stand. New ones go to its end: a number is never used again. */
export function section(number: string): () => `${string}/${number}` {
  let last = 0;
  return () => `${number}/${++last}`;
}

/** A subject that no other case uses. */
export function subject(what: string): string {
  return `conformance/${what}-${toHex(random(4))}`;
}

export interface Offer {
  readonly line: Line;
  readonly author: Author;
  readonly pull: Pull;
}

/** The implementation reads the kit's log, has all of the world, and knows a new author. */
export async function offer(trial: Trial, role: Role = 'writer'): Promise<Offer> {
  const line = await trial.line();
  const author = trial.author(role);
  const pull = await line.push();
  return { line, author, pull };
}

/** Sends what it must not take. */
export async function refuses(
  { line, pull }: Pick<Offer, 'line' | 'pull'>,
  commits: readonly Commit[] | Batch,
  code: ErrorCode | readonly ErrorCode[],
  change: Partial<BatchMessage> = {},
): Promise<void> {
  pull.batch(commits, change);
  await line.wire.refused(code);
}

type Refused = Omit<Case, 'id' | 'run' | 'title' | 'rule' | 'hostile'>;

/** A case in which one commit of a new author's is refused. */
export function refusedCase(
  id: Case['id'],
  title: string,
  rule: string,
  code: ErrorCode | readonly ErrorCode[],
  make: (author: Author, trial: Trial) => Commit | readonly Commit[],
  { role, ...rest }: Refused & { role?: Role } = {},
): Case {
  return {
    id,
    title,
    rule,
    hostile: true,
    ...rest,
    async run(trial) {
      const offered = await offer(trial, role);
      const made = make(offered.author, trial);
      await refuses(offered, Array.isArray(made) ? made : [made as Commit], code);
    },
  };
}

/** A connection on which the kit has given nothing; after another one it is of the same device. */
export async function freshLine(trial: Trial, after?: Line): Promise<Line> {
  if (after) {
    await after.serves();
    await after.wire.close();
  }
  const line = await trial.line(
    trial.side === 'client' ? {} : after ? { device: after.wire.device } : { role: 'reader' },
  );
  if (!line.offered()) throw new Skip('it offers no space, and so serves nothing');
  return line;
}

/** Reads these chains from their beginning, on a connection of its own. */
export async function readChains(trial: Trial, chains: readonly Uint8Array[], after?: Line): Promise<AuthenticEntry[]> {
  const line = await freshLine(trial, after);
  const heads = trial.world.vector().filter(({ chain }) => !chains.some((each) => equal(each, chain)));
  const follow = line.follow({ from: { kind: 'vector', heads } });
  await follow.caughtUp();
  await follow.ended();
  await line.wire.close();
  return follow.entries.filter(({ chain }) => chains.some((each) => equal(each, chain.id)));
}

/** It serves these, with the bytes that their authors signed. */
export async function keeps(trial: Trial, commits: readonly Commit[], after: Line): Promise<void> {
  const entries = await readChains(
    trial,
    commits.map(({ chain }) => chain.id),
    after,
  );
  for (const { id, body, seq, chain } of commits) {
    const entry = entries.find((each) => equal(each.id, id));
    const place = `seq ${seq} of chain ${toHex(chain.id)}`;
    if (!entry) throw new Violation(`it does not serve ${place}, which it acknowledged`);
    expect(entry.kind === 'commit', `it serves ${place} erased`);
    expect(body && equal(entry.body, body), `it serves ${place} with another body: ${toHex(entry.body)}`);
  }
}

/** All of its log, in its order, on a connection of its own. */
export async function readLog(trial: Trial): Promise<AuthenticEntry[]> {
  const line = await freshLine(trial);
  const follow = line.follow({ from: { kind: 'all' } });
  await follow.caughtUp();
  await follow.ended();
  await line.wire.close();
  return follow.received;
}

/** The implementation writes; its commit, which is in the world by then. Needs `write`. */
export async function writesItself(trial: Trial, name = subject('own'), value: unknown = 1): Promise<Commit> {
  await trial.write(name, 'v', value);
  const line = await trial.line();
  line.follow({ from: { kind: 'vector', heads: trial.world.vector() }, live: true, intoWorld: true });
  const deadline = performance.now() + trial.patienceMs;
  for (;;) {
    const found = trial.world.log.findLast(
      ({ chain, body }) =>
        body &&
        equal(chain.device, trial.remoteDevice!) &&
        decodeBody(body).changes.some((change) => change.subject === name),
    );
    if (found) {
      await line.wire.close();
      return found;
    }
    if (line.wire.socket.closing || performance.now() > deadline)
      throw new Violation('it does not serve the commit that it was made to write');
    await sleep(20);
  }
}

// ---- bodies byte by byte

export function bytes(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
}

/** A body of the author's next commit, with the changes as given. */
export function bodyWith(
  author: Author,
  changes: Uint8Array,
  { time, deps }: { time?: Uint8Array; deps?: Uint8Array } = {},
): Uint8Array {
  const honest = author.body([]);
  return concat(
    bytes('93'),
    time ?? encode(honest.time),
    deps ?? encode(honest.deps.map(({ chain, seq }) => [chain, seq])),
    changes,
  );
}

/** The bytes of one change that sets the property `v` to a value, so encoded. */
export function settingRaw(name: string, value: Uint8Array): Uint8Array {
  return concat(bytes('91 92'), encode(name), bytes('81'), encode('set'), bytes('81'), encode('v'), value);
}

/** Signs what may have no hash by the rules: what can't be told apart is hashed as a whole. */
export function signAny(author: Author, body: Uint8Array): Commit {
  try {
    return author.sign(body);
  } catch {
    return author.sign(body, { hash: crypto.sha256(body) });
  }
}

/** The author's next commits, into the world: bodies as given, deps those of `author.body`. */
export function writeRaw(author: Author, body: Uint8Array): Commit {
  return author.add(author.sign(body), author.deps());
}
