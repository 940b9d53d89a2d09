/**
 * As much of vitest as the store's contract and the tests of client/ need, for a page: what they register is kept, and run one after another. The page's
 * bundle has this in the place of `vitest`.
 */
import { expect } from './expect.ts';

export { expect };

type Body = (...args: unknown[]) => unknown;
type Rows = readonly unknown[];

interface Test {
  readonly name: string;
  readonly under: readonly object[];
  readonly run: () => unknown;
}

export interface Result {
  readonly name: string;
  /** null: it passed. */
  readonly error: string | null;
  readonly ms: number;
}

const tests: Test[] = [];
/** Which describes are open. Those alike in name, of two files, are two. */
const path: { readonly name: string }[] = [{ name: '' }];
const before: { readonly under: object; readonly run: Body }[] = [];
const after: { readonly under: object; readonly run: Body }[] = [];

export function describe(name: string, register: () => void): void {
  path.push({ name });
  register();
  path.pop();
}

export function beforeEach(run: Body): void {
  before.push({ under: path.at(-1)!, run });
}

export function afterEach(run: Body): void {
  after.push({ under: path.at(-1)!, run });
}

/** The last argument, or the one before it, is the body; the other says how long it may take. */
function bodyOf(rest: readonly unknown[]): Body {
  return rest.find((each) => typeof each === 'function') as Body;
}

export function test(name: string, ...rest: unknown[]): void {
  const names = path.map((each) => each.name).filter((each) => each !== '');
  tests.push({ name: [...names, name].join(' > '), under: [...path], run: bodyOf(rest) });
}

function named(name: string, row: unknown): string {
  const args = Array.isArray(row) ? (row as Rows) : [row];
  let next = 0;
  return name
    .replace(/\$(\w+)/g, (_, key: string) => String((row as Record<string, unknown>)[key]))
    .replace(/%[sdij]/g, () => String(args[next++]));
}

function each(begin: (name: string, run: () => void) => void) {
  return (rows: Rows) =>
    (name: string, ...rest: unknown[]): void => {
      for (const row of rows)
        begin(named(name, row), () => bodyOf(rest)(...(Array.isArray(row) ? (row as Rows) : [row])));
    };
}

test.each = each((name, run) => test(name, run));
describe.each = each((name, run) => describe(name, run));

/** Those with one of `except` in their names are left out. */
export async function runAll(except: readonly string[] = []): Promise<Result[]> {
  const results: Result[] = [];
  for (const { name, under, run } of tests) {
    if (except.some((part) => name.includes(part))) continue;
    const holds = (hook: { under: object }): boolean => under.includes(hook.under);
    let error: string | null = null;
    const started = performance.now();
    try {
      for (const hook of before.filter(holds)) await inTime(hook.run(), 'what comes before it');
      await inTime(run(), 'it');
    } catch (thrown) {
      error = textOf(thrown);
    }
    try {
      for (const hook of after.filter(holds)) await inTime(hook.run(), 'what comes after it');
    } catch (thrown) {
      error ??= textOf(thrown);
    }
    results.push({ name, error, ms: performance.now() - started });
  }
  return results;
}

/** Of a test, or what comes before or after it. One that hangs has a name then. */
const TIMEOUT_MS = 120_000;

async function inTime(result: unknown, what: string): Promise<void> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`${what} did not end in ${TIMEOUT_MS / 1000} s`)), TIMEOUT_MS);
  try {
    await Promise.race([result, promise]);
  } finally {
    clearTimeout(timer);
  }
}

function textOf(thrown: unknown): string {
  return thrown instanceof Error ? `${thrown.stack ?? ''}\n${String(thrown.cause ?? '')}` : String(thrown);
}
