/** Many kills, of all kinds, from a seed. */
import { has } from '../support/programs.ts';
import { POINTS } from './points.ts';
import { Scene } from './scene.ts';
import type { Kill } from './victim.ts';

export interface Summary {
  readonly seed: number;
  rounds: number;
  /** Processes that died as they were meant to, by what killed them. */
  readonly kills: Record<string, number>;
  /** Points that were not met before the kill came from outside, by name. */
  readonly missed: Record<string, number>;
  acknowledged: { written: number; received: number };
}

export interface Options {
  readonly rounds: number;
  readonly seed: number;
  readonly onRound?: (summary: Summary) => void;
  readonly kinds?: readonly Kill['kind'][];
}

/** Rounds that one data folder lasts. */
const ROUNDS_PER_SCENE = 40;

/** mulberry32: small, and the same for the same seed everywhere. */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** strace kills in the middle of LMDB's own calls. */
export const hasTracer = has('strace', '-f', '-e', 'trace=none', 'true');

/** Points that a running node meets more than once; the others come once in a life, or where files are written, or after a
 * revocation or a fork (works.ts). */
const OFTEN: ReadonlySet<string> = new Set(['record-before', 'record-torn', 'record-after']);
const POINTS_OF_A_NODE = POINTS.filter((point) => !/^(file|sweep|rebuild|repair|clearing)-/.test(point));

function kindOf(kill: Kill): string {
  return kill.kind === 'point' ? kill.point : kill.kind === 'call' ? kill.call : 'random';
}

function nextKill(random: () => number, kinds: readonly Kill['kind'][]): Kill {
  const upTo = (n: number): number => Math.floor(random() * n);
  const kind = kinds[upTo(kinds.length)]!;
  if (kind === 'random') return { kind, afterAcks: 1 + upTo(90), delayMs: upTo(8) };
  if (kind === 'call') {
    const isFlush = random() < 0.4;
    return { kind, call: isFlush ? 'fdatasync' : 'pwrite64', nth: 1 + upTo(isFlush ? 6 : 60) };
  }
  const point = POINTS_OF_A_NODE[upTo(POINTS_OF_A_NODE.length)]!;
  const nth = OFTEN.has(point) ? 1 + upTo(60) : point.startsWith('tables-') ? 1 + upTo(10) : 1;
  return { kind, point, nth, us: upTo(3000) };
}

/** Throws at the first thing that is lost, with the seed, the round and where the folder is. */
export async function runKills({ rounds, seed, onRound, kinds = defaultKinds() }: Options): Promise<Summary> {
  const random = randomOf(seed);
  const summary: Summary = { seed, rounds: 0, kills: {}, missed: {}, acknowledged: { written: 0, received: 0 } };
  while (summary.rounds < rounds) {
    const scene = await Scene.make(random);
    let kill: Kill | null = null;
    try {
      for (let i = 0; i < ROUNDS_PER_SCENE && summary.rounds < rounds; i++) {
        kill = nextKill(random, kinds);
        const isMet = await scene.round(kill);
        const tally = isMet ? summary.kills : summary.missed;
        tally[kindOf(kill)] = (tally[kindOf(kill)] ?? 0) + 1;
        summary.rounds++;
        onRound?.(summary);
      }
      await scene.finish();
    } catch (cause) {
      await scene.friend.close();
      const place = `seed ${seed}, round ${summary.rounds + 1}, ${JSON.stringify(kill)}; the folder is kept: ${scene.folder}`;
      throw new Error(`${(cause as Error).message} (${place})`, { cause });
    }
    summary.acknowledged.written += scene.written.size;
    summary.acknowledged.received += scene.received.size;
    await scene.close();
  }
  return summary;
}

function defaultKinds(): Kill['kind'][] {
  return hasTracer ? ['random', 'point', 'point', 'point', 'call'] : ['random', 'point', 'point'];
}
