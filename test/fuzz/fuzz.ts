/**
 * Feeds targets with mutated seeds, within bounds of time and memory. What brings out an answer that no input had brought out before (another refusal,
 * another way through) becomes a seed itself, for as long as the run lasts.
 */
import { getHeapStatistics } from 'node:v8';

import { TidelogError } from '../../protocol/errors.ts';
import { mutate } from './mutate.ts';
import { Random } from './random.ts';
import type { Target } from './targets.ts';
import { turn } from '../support/turn.ts';

interface Fault {
  readonly target: string;
  readonly input: Uint8Array;
  readonly what: string;
}

export interface Summary {
  readonly inputs: number;
  /** Different answers, by target. */
  readonly answers: Record<string, number>;
  readonly faults: readonly Fault[];
}

/** ms of this thread's CPU for one input, at most: hundreds of times what the largest needs. */
const CPU_MS_MAX = 400;
/** Bytes that one input may cost: a message and what is made of it, several times over. */
const MEMORY_BYTES_MAX = 48 * 1024 * 1024;
/** Inputs that one target gets in a row. */
const TURN = 50;
const FAULTS_MAX = 20;
/** Answers that say what is in the input would all be new. */
const ANSWERS_MAX = 400;

function memoryBytes(): number {
  const { used_heap_size: heap, external_memory: external, malloced_memory: malloced } = getHeapStatistics();
  return heap + external + malloced;
}

/** What came of an input: an answer, or a fault. */
export function tryInput(target: Target, input: Uint8Array): { readonly answer: string } | { readonly fault: string } {
  try {
    return { answer: `${String(target.run(input))}` };
  } catch (thrown) {
    if (thrown instanceof TidelogError)
      return { answer: thrown.message.replaceAll(/\d+|"[^"]*"|[0-9a-f]{6,}/g, '#').slice(0, 160) };
    return { fault: thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown) };
  }
}

/** Too long, or too much: only if it is so each time, for others use this machine too. */
function costOf(target: Target, input: Uint8Array): string | null {
  let cpuMs = Infinity;
  let memory = Infinity;
  for (let tries = 0; tries < 3; tries++) {
    const cpu = process.threadCpuUsage();
    const before = memoryBytes();
    tryInput(target, input);
    memory = Math.min(memory, memoryBytes() - before);
    const { user, system } = process.threadCpuUsage(cpu);
    cpuMs = Math.min(cpuMs, (user + system) / 1000);
    if (cpuMs <= CPU_MS_MAX && memory <= MEMORY_BYTES_MAX) return null;
  }
  return `it takes ${Math.round(cpuMs)} ms and ${Math.round(memory / 1024)} KiB`;
}

export interface Options {
  readonly seed: number;
  readonly targets: readonly Target[];
  readonly seconds: number;
  readonly onTurn?: (inputs: number) => void;
}

export async function fuzz({ seed, targets, seconds, onTurn }: Options): Promise<Summary> {
  const random = new Random(seed);
  const untilMs = performance.now() + seconds * 1000;
  const faults: Fault[] = [];
  const states = targets.map((target) => ({ target, pool: [...target.seeds], answers: new Set<string>() }));
  let inputs = 0;
  // The seeds themselves first.
  for (const { target, answers } of states) {
    for (const input of target.seeds) {
      const outcome = tryInput(target, input);
      if ('fault' in outcome) faults.push({ target: target.name, input, what: outcome.fault });
      else answers.add(outcome.answer);
    }
  }
  while (performance.now() < untilMs && faults.length < FAULTS_MAX) {
    for (const { target, pool, answers } of states) {
      for (let i = 0; i < TURN && performance.now() < untilMs; i++) {
        const input = mutate(random, random.pick(pool), pool);
        inputs++;
        const startedMs = performance.now();
        const before = memoryBytes();
        const outcome = tryInput(target, input);
        const isDear = performance.now() - startedMs > CPU_MS_MAX || memoryBytes() - before > MEMORY_BYTES_MAX;
        const what = 'fault' in outcome ? outcome.fault : isDear ? costOf(target, input) : null;
        if (what !== null) faults.push({ target: target.name, input, what });
        else if ('answer' in outcome && answers.size < ANSWERS_MAX && !answers.has(outcome.answer)) {
          answers.add(outcome.answer);
          pool.push(input);
        }
      }
    }
    onTurn?.(inputs);
    await turn();
  }
  return {
    inputs,
    answers: Object.fromEntries(states.map(({ target, answers }) => [target.name, answers.size])),
    faults,
  };
}
