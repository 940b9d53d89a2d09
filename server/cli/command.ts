/** What all commands share: the options that work everywhere, one way to open the data, and one way to print. */
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Command } from 'commander';

import { asTidelogError, TidelogError, type ErrorCode } from '../../protocol/errors.ts';
import { durationMs } from '../duration.ts';
import { paint, printable } from '../terminal.ts';
import { apiPath, resourcePath, type Api, type Query } from './api.ts';
import { openApi } from './open-api.ts';

export const EXIT = { FINE: 0, FAILED: 1, MISUSED: 2 } as const;

interface CommonOptions {
  readonly data?: string;
  readonly space?: string;
  readonly json?: boolean;
}

export function dataDirOf(command: Command): string {
  const { data } = command.optsWithGlobals<CommonOptions>();
  // Empty is what a script makes of a variable that isn't set; it must not become the folder that one happens to stand in.
  if (data === '') throw new TidelogError('bad-argument', '--data is empty');
  return resolve(data ?? (process.env['TIDELOG_DATA'] || join(homedir(), '.tidelog')));
}

/** What `--space` names. */
export function spaceOf(command: Command): string | undefined {
  return command.optsWithGlobals<CommonOptions>().space;
}

export class Output {
  /** One JSON object per line instead of text. */
  readonly json: boolean;
  /** A person reads it: tables, colour, hints. Otherwise plain lines for other programs. */
  readonly isTerminal: boolean;

  constructor(command: Command) {
    this.json = command.optsWithGlobals<CommonOptions>().json ?? false;
    this.isTerminal = process.stdout.isTTY && !this.json;
  }

  /** Waits where the reader is slower. */
  async line(text: string): Promise<void> {
    if (!process.stdout.write(`${text}\n`)) await new Promise((taken) => process.stdout.once('drain', taken));
  }

  /** A value for programs, or the same in words. */
  async show(value: unknown, words: () => string): Promise<void> {
    await this.line(this.json ? JSON.stringify(value) : words());
  }

  /** For a person beside the output, so that pipes stay clean. */
  note(text: string): void {
    process.stderr.write(`${text}\n`);
  }

  warn(text: string): void {
    this.note(`${paint('yellow', 'warning:', process.stderr)} ${text}`);
  }
}

/** A command at work: the data is open. */
export class Cli extends Output {
  readonly api: Api;
  readonly dataDir: string;
  /** What `--space` names. */
  readonly space: string | undefined;

  constructor(command: Command, api: Api, dataDir: string) {
    super(command);
    this.api = api;
    this.dataDir = dataDir;
    this.space = spaceOf(command);
  }

  /** A path of the interface, with the space that `--space` names. */
  path(segments: readonly string[], query: Query = {}): string {
    return apiPath(segments, { space: this.space, ...query });
  }

  resource(subject: string, query: Query = {}): string {
    return resourcePath(subject, { space: this.space, ...query });
  }

  async get<T>(path: string): Promise<T> {
    return (await this.api.call('GET', path)).body as T;
  }

  /** Asks for page after page of `{items, next}`, up to `limit` items. */
  async *pages<T>(path: (query: Query) => string, limit = Infinity, after?: string): AsyncGenerator<T> {
    let left = limit;
    let cursor = after;
    while (left > 0) {
      const page = await this.get<{ items: T[]; next: string | null }>(
        path({ limit: Math.min(left, PAGE), after: cursor }),
      );
      yield* page.items;
      left -= page.items.length;
      if (page.next === null) return;
      cursor = page.next;
    }
  }
}

/** What one page holds; the most that the interface gives. */
const PAGE = 1000;

/** Opens the data, runs, closes, whatever happens. */
export async function withCli(command: Command, run: (cli: Cli) => Promise<void>): Promise<void> {
  const dataDir = dataDirOf(command);
  const api = await openApi(dataDir);
  try {
    await run(new Cli(command, api, dataDir));
  } finally {
    await api.close();
  }
}

/** What a person has typed can't be meant: the same again would be refused again. */
const OF_ARGUMENTS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'bad-argument',
  'bad-link',
  'bad-device-id',
  'bad-subject',
  'reserved-subject',
  'bad-property',
  'bad-value',
  'bad-change',
  'bad-role',
  'bad-cursor',
]);

/** Says on standard error what went wrong, in a sentence with the code, and returns the exit code. */
export function reportError(thrown: unknown, asJson: boolean): number {
  const error = asTidelogError(thrown);
  const { code, message, retry, detail } = error;
  if (asJson) process.stderr.write(`${JSON.stringify({ error: { code, message, retry, detail } })}\n`);
  else process.stderr.write(`${paint('red', 'tidelog:', process.stderr)} ${printable(message)} [${code}]\n`);
  if (code === 'internal' && process.env['TIDELOG_DEBUG']) console.error(error.cause ?? error);
  return OF_ARGUMENTS.has(code) ? EXIT.MISUSED : EXIT.FAILED;
}

// ---- values

/** `key=value`: a value that is JSON is taken as JSON, anything else as text. Throws `bad-argument`. */
export function parseAssignment(text: string): [string, unknown] {
  const at = text.indexOf('=');
  if (at < 1) throw new TidelogError('bad-argument', `${JSON.stringify(text)} is not key=value`);
  const value = text.slice(at + 1);
  let parsed: unknown;
  let isFinite = true;
  try {
    parsed = JSON.parse(value, (_, item: unknown) => {
      isFinite &&= typeof item !== 'number' || Number.isFinite(item);
      return item;
    });
  } catch {
    parsed = value;
  }
  // JSON has no other way to say it than null, which is what would arrive.
  if (!isFinite) throw new TidelogError('bad-argument', `${JSON.stringify(text)} has a number that is too large`);
  return [text.slice(0, at), parsed];
}

/** The reverse: what `key=value` would be taken for this very value. On one line, and safe to print. */
export function formatValue(value: unknown): string {
  if (typeof value === 'string' && value === printable(value) && !isJson(value)) return value;
  return JSON.stringify(value).replaceAll(/[\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, escapeUnicode);
}

function escapeUnicode(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** `10m`, `90s`, `2h`, `1d`, in ms. Throws `bad-argument`. */
export function parseDuration(text: string): number {
  const ms = durationMs(text);
  if (ms === null)
    throw new TidelogError('bad-argument', `${JSON.stringify(text)} is not a duration like 90s, 10m, 2h or 1d`);
  return ms;
}

/** Throws `bad-argument`. */
export function parseCount(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new TidelogError('bad-argument', `${JSON.stringify(text)} is not a number from 0`);
  return Number(text);
}

/** The first group of a device ID: enough for people to tell their devices apart. */
export function shortId(id: string): string {
  return id.slice(0, 7);
}
