/** `expect`, as far as tests that run in a page use it. Whatever else they ask for isn't a function, and fails. */
interface Matchers {
  toBe(expected: unknown): void;
  toEqual(expected: unknown): void;
  toMatchObject(expected: unknown): void;
  toBeNull(): void;
  toBeUndefined(): void;
  toHaveLength(length: number): void;
  toContain(item: unknown): void;
  toMatch(pattern: RegExp | string): void;
  toBeLessThan(than: number): void;
  toBeLessThanOrEqual(most: number): void;
  toBeGreaterThan(than: number): void;
  toBeGreaterThanOrEqual(least: number): void;
  /** Text that its message has, a pattern of it, or an error to match. Nothing: anything thrown will do. */
  toThrow(expected?: unknown): void;
}

type Later = { readonly [Name in keyof Matchers]: (...args: Parameters<Matchers[Name]>) => Promise<void> };

interface Expectation extends Matchers {
  readonly not: Matchers;
  readonly rejects: Later;
  readonly resolves: Later;
}

/** What stands for more values than one. */
class Pattern {
  readonly #text: string;
  readonly matches: (actual: unknown) => boolean;

  constructor(text: string, matches: (actual: unknown) => boolean) {
    this.#text = text;
    this.matches = matches;
  }
  toJSON(): string {
    return this.#text;
  }
}

const THROWN = Symbol('thrown');

export function expect(actual: unknown, hint = ''): Expectation {
  return {
    ...matchers(actual, hint, false),
    not: matchers(actual, hint, true),
    rejects: later(async () => {
      try {
        await (typeof actual === 'function' ? (actual as () => unknown)() : actual);
      } catch (thrown) {
        return thrown;
      }
      throw new Error(`${hint} it was not rejected`);
    }, hint),
    resolves: later(async () => actual, hint),
  };
}

expect.any = (kind: (...args: never[]) => unknown): unknown =>
  new Pattern(`any ${kind.name}`, (actual) => Object(actual) instanceof kind);
expect.anything = (): unknown => new Pattern('anything', (actual) => actual !== null && actual !== undefined);
expect.stringContaining = (text: string): unknown =>
  new Pattern(`…${text}…`, (actual) => typeof actual === 'string' && actual.includes(text));
expect.stringMatching = (pattern: RegExp): unknown =>
  new Pattern(String(pattern), (actual) => typeof actual === 'string' && pattern.test(actual));
expect.objectContaining = (expected: Record<string, unknown>): unknown =>
  new Pattern(show(expected), (actual) => contains(actual, expected, isSame));
expect.arrayContaining = (items: readonly unknown[]): unknown =>
  new Pattern(
    `with ${show(items)}`,
    (actual) => Array.isArray(actual) && items.every((item) => actual.some((found) => isSame(found, item))),
  );

function later(settle: () => Promise<unknown>, hint: string): Later {
  const of =
    (name: keyof Matchers) =>
    async (...args: unknown[]): Promise<void> => {
      const settled = await settle();
      const value = name === 'toThrow' ? { [THROWN]: settled } : settled;
      (matchers(value, hint, false)[name] as (...args: unknown[]) => void)(...args);
    };
  return new Proxy({} as Later, { get: (_, name) => of(name as keyof Matchers) });
}

function matchers(actual: unknown, hint: string, isNot: boolean): Matchers {
  const hold = (holds: boolean, expected: string): void => {
    if (holds === isNot) throw new Error(`${hint} expected${isNot ? ' not' : ''} ${expected}, not ${show(actual)}`);
  };
  const compare = (holds: (value: number) => boolean, expected: string): void =>
    hold(typeof actual === 'number' && holds(actual), expected);
  return {
    toBe: (expected) => hold(Object.is(actual, expected), show(expected)),
    toEqual: (expected) => hold(isSame(actual, expected), show(expected)),
    toMatchObject: (expected) => hold(matches(actual, expected), show(expected)),
    toBeNull: () => hold(actual === null, 'null'),
    toBeUndefined: () => hold(actual === undefined, 'undefined'),
    toHaveLength: (length) => hold((actual as { length: number }).length === length, `a length of ${length}`),
    toContain: (item) =>
      hold(
        typeof actual === 'string'
          ? actual.includes(item as string)
          : [...(actual as Iterable<unknown>)].some((found) => Object.is(found, item)),
        `something with ${show(item)}`,
      ),
    toMatch: (pattern) =>
      hold(
        typeof pattern === 'string' ? (actual as string).includes(pattern) : pattern.test(actual as string),
        String(pattern),
      ),
    toBeLessThan: (than) => compare((value) => value < than, `less than ${than}`),
    toBeLessThanOrEqual: (most) => compare((value) => value <= most, `${most} or less`),
    toBeGreaterThan: (than) => compare((value) => value > than, `more than ${than}`),
    toBeGreaterThanOrEqual: (least) => compare((value) => value >= least, `${least} or more`),
    toThrow: (expected) => hold(isThrown(thrownBy(actual), expected), `an error ${show(expected)}`),
  };
}

function thrownBy(actual: unknown): { readonly error: unknown } | null {
  if (typeof actual === 'object' && actual !== null && THROWN in actual) return { error: actual[THROWN] };
  try {
    (actual as () => unknown)();
  } catch (error) {
    return { error };
  }
  return null;
}

function isThrown(thrown: { readonly error: unknown } | null, expected: unknown): boolean {
  if (thrown === null) return false;
  const { message } = thrown.error as Error;
  if (expected === undefined) return true;
  if (typeof expected === 'string') return message.includes(expected);
  return expected instanceof RegExp ? expected.test(message) : isSame(thrown.error, expected);
}

/** The names of `expected` are those that count. */
function contains(actual: unknown, expected: object, same: (one: unknown, other: unknown) => boolean): boolean {
  if (typeof actual !== 'object' || actual === null) return false;
  const found = actual as Record<string, unknown>;
  return Object.entries(expected).every(([name, value]) => same(found[name], value));
}

function matches(actual: unknown, expected: unknown): boolean {
  if (expected instanceof Pattern || ArrayBuffer.isView(expected)) return isSame(actual, expected);
  if (Array.isArray(expected))
    return (
      Array.isArray(actual) &&
      actual.length === expected.length &&
      expected.every((item, i) => matches(actual[i], item))
    );
  if (typeof expected !== 'object' || expected === null) return Object.is(actual, expected);
  return contains(actual, expected, matches);
}

function isSame(one: unknown, other: unknown): boolean {
  if (other instanceof Pattern) return other.matches(one);
  if (Object.is(one, other)) return true;
  if (typeof one !== 'object' || typeof other !== 'object' || one === null || other === null) return false;
  if (one instanceof Uint8Array && other instanceof Uint8Array)
    return one.length === other.length && one.every((byte, i) => byte === other[i]);
  if (one instanceof Map && other instanceof Map) return isSame([...one], [...other]);
  if (one instanceof Set && other instanceof Set) return isSame([...one], [...other]);
  if (Array.isArray(one) !== Array.isArray(other)) return false;
  const known = (value: object): [string, unknown][] =>
    Object.entries(value).filter(([, member]) => member !== undefined);
  const [mine, theirs] = [known(one), known(other)];
  return mine.length === theirs.length && contains(one, Object.fromEntries(theirs), isSame);
}

function show(value: unknown): string {
  if (value instanceof Error) return `${String(value)} ${show({ ...value })}`;
  return (
    JSON.stringify(value, (_, inner: unknown) => {
      if (inner instanceof Uint8Array) return [...inner.subarray(0, 40)];
      if (typeof inner === 'bigint') return `${inner}n`;
      return inner instanceof Map || inner instanceof Set ? [...inner] : inner;
    })?.slice(0, 600) ?? 'undefined'
  );
}
