/** Runs cases against a target, and says of each how it went. */
import { TidelogError } from '../protocol/errors.ts';
import type { Case, Hook, Trial } from './case.ts';
import { CASES } from './cases/index.ts';
import type { Hooks } from './hooks.ts';
import { Skip, Violation } from './violation.ts';
import { withTimeout, type Wire } from './wire.ts';

export type Outcome = 'passed' | 'failed' | 'warned' | 'skipped';

export interface Result {
  readonly id: string;
  readonly title: string;
  readonly rule: string;
  readonly hostile: boolean;
  readonly outcome: Outcome;
  /** What was seen instead, or why it was skipped. */
  readonly reason: string | null;
  /** The last messages of the case's connections, where it didn't pass. */
  readonly transcript: readonly string[];
  readonly ms: number;
}

export interface Target {
  readonly side: 'server' | 'client';
  readonly hooks: Hooks;
  readonly isMember: boolean;
  /** Program and version, once it has said so. */
  readonly agent: string;
  trial(): Promise<Trial & { readonly wires: readonly Wire[]; end(hasFailed: boolean): Promise<void> }>;
  /** What the program under test printed last. */
  output(): string;
}

export interface RunOptions {
  /** Ids, or what they begin with: `11` is a chapter, `11.5` a section, `11.5/3` a case. All where there are none. */
  readonly only: readonly string[];
  /** Leave out what takes more than 5 s. */
  readonly quick: boolean;
  /** Hostile cases only, or none of them. */
  readonly hostile: boolean | null;
  /** How many cases may run at once where each has a program of its own. */
  readonly workers: number;
  onResult(result: Result): void;
}

/** No case takes this long; one that does has been forgotten by somebody. */
const CASE_MS_MAX = 180_000;
const TRANSCRIPT_LINES = 14;

/** The cases that could run on this side, in order. */
export function casesOf(
  side: 'server' | 'client',
  { only, quick, hostile }: Pick<RunOptions, 'only' | 'quick' | 'hostile'>,
): Case[] {
  return CASES.filter(
    (each) =>
      (each.side === undefined || each.side === side) &&
      (only.length === 0 || only.some((wanted) => isWithin(each.id, wanted))) &&
      !(quick && each.slow) &&
      (hostile === null || hostile === (each.hostile ?? false)),
  );
}

/** `11.5/3` is within `11`, `11.5` and `11.5/3`, and not within `1`. */
function isWithin(id: string, wanted: string): boolean {
  return id === wanted || id.startsWith(`${wanted}.`) || id.startsWith(`${wanted}/`);
}

export async function runCases(target: Target, options: RunOptions): Promise<Result[]> {
  const cases = casesOf(target.side, options);
  const results: Result[] = [];
  const run = async (each: Case): Promise<void> => {
    const result = await runCase(target, each);
    results.push(result);
    options.onResult(result);
  };
  const isIndependent = target.side === 'client' && target.hooks.run !== undefined;
  const workers = isIndependent ? options.workers : 1;
  // What mostly waits goes on beside the rest; a program that is met by hand has one connection, and so one case at a time.
  const beside = target.side === 'server' ? cases.filter(({ slow, alone }) => slow && !alone) : [];
  const alone = cases.filter((each) => each.alone);
  const queue = cases.filter((each) => !beside.includes(each) && !alone.includes(each));
  if (isIndependent) queue.sort((a, b) => Number(b.slow ?? false) - Number(a.slow ?? false));
  const worker = async (): Promise<void> => {
    for (let next = queue.shift(); next; next = queue.shift()) await run(next);
  };
  await Promise.all([...beside.map(run), ...Array.from({ length: workers }, worker)]);
  for (const each of alone) await run(each);
  return results.sort((a, b) => CASES.findIndex(({ id }) => id === a.id) - CASES.findIndex(({ id }) => id === b.id));
}

async function runCase(target: Target, each: Case): Promise<Result> {
  const startedMs = performance.now();
  const { id, title, rule, hostile = false } = each;
  const result = (outcome: Outcome, reason: string | null, transcript: readonly string[] = []): Result => ({
    id,
    title,
    rule,
    hostile,
    outcome,
    reason,
    transcript,
    ms: Math.round(performance.now() - startedMs),
  });
  const missing = (each.needs ?? []).find((need: Hook) => target.hooks[need] === undefined);
  if (missing !== undefined) return result('skipped', `needs --${missing}`);
  if (!target.isMember && !each.stranger) return result('skipped', 'needs a pairing link for an owner');
  const trial = await target.trial();
  let hasFailed = false;
  try {
    await withTimeout(
      attempt(trial, each),
      CASE_MS_MAX,
      () => new Violation(`the case took more than ${CASE_MS_MAX / 1000} s`),
    );
    return result('passed', null);
  } catch (thrown) {
    if (thrown instanceof Skip) return result('skipped', thrown.message);
    hasFailed = true;
    const reason =
      thrown instanceof Violation
        ? thrown.message
        : thrown instanceof TidelogError
          ? `${thrown.message} [${thrown.code}]`
          : `the kit itself failed: ${thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown)}`;
    const transcript = trial.wires.slice(-2).flatMap((wire) => wire.transcript.slice(-TRANSCRIPT_LINES));
    const output = target.output() || ('output' in trial ? (trial as { output(): string }).output() : '');
    if (output)
      transcript.push(
        ...output
          .trimEnd()
          .split('\n')
          .slice(-8)
          .map((line) => `| ${line}`),
      );
    return result(each.should && thrown instanceof Violation ? 'warned' : 'failed', reason, transcript);
  } finally {
    await trial.end(hasFailed);
  }
}

async function attempt(trial: Trial, each: Case): Promise<void> {
  await each.run(trial);
  if (each.hostile && !each.stranger) {
    try {
      await trial.unharmed();
    } catch (thrown) {
      if (thrown instanceof Violation) throw new Violation(`afterwards it was not as before: ${thrown.message}`);
      throw thrown;
    }
  }
}
