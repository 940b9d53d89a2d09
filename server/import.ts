/**
 * Newline-delimited JSON into commits.
 *
 *   {"changes":[…]}             one commit, as in POST /v1/commits
 *   {"subject":…,"set":{…}}     one resource's operations; packed, 100 to a commit, because a commit costs a signature
 *   "author" and "time"         of somebody else's history, on either form: become the properties importedAuthor and importedTime of the
 *                               resources that the line sets. Who signs is this device.
 *
 * Lines take effect in their order. Commits are handed over without waiting for each other's disk, so that many share one flush; the
 * answer comes when all are on disk.
 */
import { changeFromJson } from '../client/changes.ts';
import type { Space } from '../client/space.ts';
import type { Change } from '../protocol/body.ts';
import { asTidelogError, TidelogError, type ErrorCode } from '../protocol/errors.ts';

const PACK_CHANGES_MAX = 100;
/** JSON of a pack, in characters. Msgpack of the same takes at most three bytes for each, so a pack always fits in a commit. */
const PACK_CHARACTERS_MAX = 256 * 1024;
/** Commits handed over and not yet on disk: enough for full groups, and few enough that a long input doesn't wait in memory. */
const IN_FLIGHT_MAX = 512;
/**
 * And characters of their lines. What waits longer outlives the young generation, and collecting it costs as much as all else. When half of
 * them are on disk it goes on, so that lines are read while the disk writes.
 */
const IN_FLIGHT_CHARACTERS_MAX = 2 * 1024 * 1024;

export interface ImportOutcome {
  /** Lines, counted from the first, whose commits are on disk. */
  readonly lines: number;
  readonly commits: number;
  /** Why no more. Its `detail` has `line`, counted from 1, and `lines` and `commits` as above. */
  readonly error: TidelogError | null;
}

/** What is wrong with the line itself: another line may pass. All other errors stop an import whatever the line says. */
const FAULTS_OF_A_LINE: ReadonlySet<ErrorCode> = new Set([
  'bad-json',
  'bad-change',
  'bad-subject',
  'reserved-subject',
  'bad-property',
  'bad-value',
  'bad-commit',
  'commit-too-large',
]);

/** A commit under way, and the lines that it is made of. */
interface Submitted {
  readonly firstLine: number;
  readonly lastLine: number;
  /** null once it is on disk. Never rejects: several may fail, and each must be caught although only the first is told. */
  readonly failure: Promise<TidelogError | null>;
}

export async function importLines(space: Space, text: string): Promise<ImportOutcome> {
  const submitted: Submitted[] = [];
  let pack = new Pack();
  let lineNumber = 0;
  /** Characters since `half`. */
  let waiting = 0;
  /** The last commit of the half that was read before this one. */
  let half: Submitted | undefined;
  let seen = 0;
  let fault: TidelogError | null = null;

  /** Throws for what can be seen before it is written. */
  const submit = (changes: readonly Change[], firstLine: number, lastLine: number): void => {
    const failure = space.commit(changes).stored.then(() => null, asTidelogError);
    submitted.push({ firstLine, lastLine, failure });
  };
  const seal = (): void => {
    const { changes, firstLine, lastLine } = pack;
    pack = new Pack();
    if (changes.length > 0) submit(changes, firstLine, lastLine);
  };

  for (const line of linesOf(text)) {
    lineNumber++;
    if (line.trim() === '') continue;
    let characters: number;
    try {
      const parsed = parseLine(line);
      characters = parsed.characters;
      const packed = parsed.packed && characters <= PACK_CHARACTERS_MAX;
      if (!packed || !pack.takes(parsed.changes[0]!, characters)) seal();
      if (packed) pack.add(parsed.changes[0]!, characters, lineNumber);
      else submit(parsed.changes, lineNumber, lineNumber);
    } catch (thrown) {
      fault = faultOfLine(lineNumber, thrown);
      break;
    }
    // Whether a long line fits in a commit shows only when it is written, and nothing may follow one that doesn't.
    if (characters > PACK_CHARACTERS_MAX && (await firstFailed(submitted))) break;
    waiting += characters;
    if (submitted.length === seen) continue;
    seen = submitted.length;
    let due = submitted.at(-IN_FLIGHT_MAX);
    if (waiting > IN_FLIGHT_CHARACTERS_MAX / 2) {
      waiting = 0;
      due = half ?? due;
      half = submitted.at(-1);
    }
    if (await due?.failure) break;
  }
  // What came before a bad line counts, so it is written too.
  seal();
  return outcome(submitted, lineNumber, fault);
}

async function outcome(
  submitted: readonly Submitted[],
  lineCount: number,
  fault: TidelogError | null,
): Promise<ImportOutcome> {
  const failed = await firstFailed(submitted);
  const commits = failed ? submitted.indexOf(failed.entry) : submitted.length;
  if (!failed && !fault) return { lines: lineCount, commits, error: null };
  const lines = failed ? failed.entry.firstLine - 1 : Number(fault!.detail['line']) - 1;
  const error = failed ? faultOfLine(failed.entry.lastLine, failed.error) : fault!;
  const detail = { ...error.detail, lines, commits };
  return { lines, commits, error: new TidelogError(error.code, particularOf(error), detail, { cause: error }) };
}

async function firstFailed(submitted: readonly Submitted[]): Promise<{ entry: Submitted; error: TidelogError } | null> {
  for (const entry of submitted) {
    const error = await entry.failure;
    if (error) return { entry, error };
  }
  return null;
}

function faultOfLine(line: number, thrown: unknown): TidelogError {
  const error = asTidelogError(thrown);
  const detail = { ...error.detail, line };
  if (!FAULTS_OF_A_LINE.has(error.code))
    return new TidelogError(error.code, particularOf(error), detail, { cause: error });
  return new TidelogError(
    'bad-line',
    `line ${line}: ${error.message}`,
    { ...detail, because: error.code },
    { cause: error },
  );
}

/** What an error says beyond its code's sentence. */
function particularOf({ message }: TidelogError): string | undefined {
  return / \((.*)\)$/s.exec(message)?.[1];
}

/** Changes that wait for more of their kind. A commit changes each subject once. */
class Pack {
  readonly changes: Change[] = [];
  readonly #subjects = new Set<string>();
  #characters = 0;
  firstLine = 0;
  lastLine = 0;

  takes(change: Change, characters: number): boolean {
    return (
      this.changes.length < PACK_CHANGES_MAX &&
      this.#characters + characters <= PACK_CHARACTERS_MAX &&
      !this.#subjects.has(change.subject)
    );
  }

  add(change: Change, characters: number, line: number): void {
    if (this.changes.length === 0) this.firstLine = line;
    this.lastLine = line;
    this.changes.push(change);
    this.#subjects.add(change.subject);
    this.#characters += characters;
  }
}

/** Without the empty piece after a last newline. */
function* linesOf(text: string): Generator<string> {
  let start = 0;
  while (start < text.length) {
    const end = text.indexOf('\n', start);
    yield end < 0 ? text.slice(start) : text.slice(start, end);
    if (end < 0) return;
    start = end + 1;
  }
}

const NONE: Readonly<Record<string, unknown>> = {};

interface ImportLine {
  readonly changes: readonly Change[];
  /** Of its JSON, with what was added of its origin. */
  readonly characters: number;
  /** May share a commit with its neighbours. */
  readonly packed: boolean;
}

/** Throws `bad-json`, `bad-change` and what `changeFromJson` throws. */
function parseLine(line: string): ImportLine {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (thrown) {
    throw new TidelogError('bad-json', (thrown as Error).message);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new TidelogError('bad-change', 'a line is a JSON object');
  const whole = value as Record<string, unknown>;
  const origin = originOf(whole);
  const rest = origin === NONE ? whole : withoutOrigin(whole);
  if (!Object.hasOwn(rest, 'changes')) {
    return { changes: [changeFromJson(withOrigin(rest, origin), 'line')], characters: line.length, packed: true };
  }
  const { changes } = rest;
  const stranger = Object.keys(rest).find((key) => key !== 'changes');
  if (stranger !== undefined)
    throw new TidelogError('bad-change', `${JSON.stringify(stranger)} has no place beside changes`);
  if (!Array.isArray(changes) || changes.length === 0)
    throw new TidelogError('bad-change', 'changes is not an array of one or more');
  return {
    changes: changes.map((change, at) => changeAt(at, withOrigin(change, origin))),
    characters: line.length + (origin === NONE ? 0 : changes.length * JSON.stringify(origin).length),
    packed: false,
  };
}

/** The place is only named where there is something to say of it. */
function changeAt(at: number, change: unknown): Change {
  try {
    return changeFromJson(change, 'changes');
  } catch {
    return changeFromJson(change, `changes[${at}]`);
  }
}

function originOf({ author, time }: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  if (author === undefined && time === undefined) return NONE;
  return {
    ...(author !== undefined && { importedAuthor: author }),
    ...(time !== undefined && { importedTime: time }),
  };
}

function withoutOrigin({
  author: _author,
  time: _time,
  ...rest
}: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return rest;
}

/** Adds what the line says of its origin to a change that sets something. What the change itself sets under those names stays. */
function withOrigin(change: unknown, origin: Readonly<Record<string, unknown>>): unknown {
  if (origin === NONE || typeof change !== 'object' || change === null) return change;
  const { set } = change as Record<string, unknown>;
  if (typeof set !== 'object' || set === null || Array.isArray(set)) return change;
  return { ...change, set: { ...origin, ...set } };
}
