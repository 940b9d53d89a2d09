/**
 * The node's settings: `<data>/config.json`. What isn't in the file has its default; what is in it and isn't a setting is an error,
 * because a misspelt setting would silently do nothing. docs/CONFIGURATION.md has the same table, held equal by a test.
 */
import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { isAbsolute, join } from 'node:path';
import * as v from 'valibot';

import { InTurn } from '../client/in-turn.ts';
import { DEFAULT_PORT, NAME_BYTES_MAX } from '../protocol/constants.ts';
import { TidelogError } from '../protocol/errors.ts';
import { isName } from '../protocol/value.ts';
import { durationMs, NEVER } from './duration.ts';
import { writeFileDurably } from './durable.ts';

export const CONFIG_FILE = 'config.json';

const name = v.pipe(
  v.string(),
  v.check(
    (text) => text !== '' && isName(text),
    `is not 1 to ${NAME_BYTES_MAX} bytes of text without control characters`,
  ),
);
const url = v.pipe(
  v.string(),
  v.check(
    (text) => /^(https?|wss?):\/\/[^/]/.test(text) && URL.canParse(text),
    'is not a URL like http://192.168.1.20:7600',
  ),
);
const hostName = v.pipe(v.string(), v.regex(/^[a-z0-9._-]{1,253}$/i, 'is not a host name'));
const integer = (least: number, most: number) =>
  v.pipe(v.number(), v.integer(), v.minValue(least), v.maxValue(most, `is above ${most}`));

interface Setting {
  readonly schema: v.GenericSchema;
  readonly default: unknown;
  /** Whether a change through the interface waits for the next start. */
  readonly restart: boolean;
  /** For the reference. */
  readonly says: string;
}

const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;

/** Every setting, in the order of the reference. */
const SETTINGS = {
  name: {
    schema: name,
    default: defaultName(),
    restart: false,
    says: 'What this device is called on the others.',
  },
  host: {
    schema: v.union([hostName, v.pipe(v.string(), v.ip())], 'is not an address or a host name'),
    default: '127.0.0.1',
    restart: true,
    says: 'Address to listen on. `127.0.0.1`: this machine only. `0.0.0.0`: the local network too.',
  },
  port: {
    schema: integer(0, 65_535),
    default: DEFAULT_PORT,
    restart: true,
    says: 'Port to listen on. 0: any that is free.',
  },
  connect: {
    schema: v.array(url),
    default: [] as string[],
    restart: true,
    says: 'Nodes to stay connected with, beside those met by pairing.',
  },
  hostNames: {
    schema: v.array(hostName),
    default: [] as string[],
    restart: false,
    says: 'Names under which browsers and programs reach this node, beside loopback and plain addresses. Requests for others are refused.',
  },
  logLevel: {
    schema: v.picklist(LOG_LEVELS),
    default: 'info' as const,
    restart: false,
    says: 'Least level that is logged.',
  },
  verifyEvery: {
    schema: v.pipe(
      v.string(),
      v.check((text) => text === NEVER || (durationMs(text) ?? 0) > 0, 'is not a duration like 12h or 7d, nor "never"'),
    ),
    default: '7d',
    restart: false,
    says: 'How often the log, and the backup in `backupDir`, are verified in the background. `never`: only by command.',
  },
  backupDir: {
    schema: v.pipe(
      v.string(),
      v.check((text) => text === '' || isAbsolute(text), 'is not an absolute path'),
    ),
    default: '',
    restart: false,
    says: 'Folder of a backup of this device, to be verified too. Empty: none.',
  },
  logBytesMax: {
    schema: integer(0, Number.MAX_SAFE_INTEGER),
    default: 0,
    restart: false,
    says: 'Bytes that the logs may have here, all spaces together, before nothing more is taken from other devices. The data folder takes some times that. 0: as many as the disk holds.',
  },
  connectionsMax: {
    schema: integer(1, 100_000),
    default: 1024,
    restart: true,
    says: 'Devices connected to `/sync` at once.',
  },
  connectionsPerAddressMax: {
    schema: integer(1, 100_000),
    default: 64,
    restart: true,
    says: 'Of these, from one address; of IPv6, from one network (/64).',
  },
} as const satisfies Record<string, Setting>;

type Key = keyof typeof SETTINGS;
export type Config = { readonly [K in Key]: v.InferOutput<(typeof SETTINGS)[K]['schema']> };

const KEYS = Object.keys(SETTINGS) as Key[];

/** The machine's name without its domain, cut to what a name may be. */
function defaultName(): string {
  const first = hostname().split('.')[0]!.slice(0, NAME_BYTES_MAX);
  return isName(first) && first !== '' ? first : 'tidelog';
}

/** Checks what a file or a request says. Throws `bad-config`, which names the setting. */
export function checkSettings(given: Readonly<Record<string, unknown>>): Partial<Config> {
  for (const [key, value] of Object.entries(given)) {
    if (!Object.hasOwn(SETTINGS, key))
      throw new TidelogError('bad-config', `there is no setting ${JSON.stringify(key)}; there are ${KEYS.join(', ')}`, {
        key,
      });
    const result = v.safeParse(SETTINGS[key as Key].schema as v.GenericSchema, value);
    if (!result.success)
      throw new TidelogError('bad-config', `${key}: ${JSON.stringify(value)} ${result.issues[0].message}`, { key });
  }
  return given as Partial<Config>;
}

export class ConfigFile {
  readonly path: string;
  #given: Partial<Config>;
  /** Each change builds on the one before. */
  readonly #patching = new InTurn();

  private constructor(path: string, given: Partial<Config>) {
    this.path = path;
    this.#given = given;
  }

  /** Throws `bad-config`. A missing file says nothing, which is fine. */
  static async read(dataDir: string): Promise<ConfigFile> {
    const path = join(dataDir, CONFIG_FILE);
    let text: string;
    try {
      text = await readFile(path, 'utf8');
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return new ConfigFile(path, {});
      throw new TidelogError('bad-config', `${path}: ${(thrown as Error).message}`, {}, { cause: thrown });
    }
    let given: unknown;
    try {
      given = JSON.parse(text);
    } catch (thrown) {
      throw new TidelogError('bad-config', `${path}: ${(thrown as Error).message}`, {}, { cause: thrown });
    }
    if (typeof given !== 'object' || given === null || Array.isArray(given))
      throw new TidelogError('bad-config', `${path} does not hold a JSON object`);
    return new ConfigFile(path, checkSettings(given as Record<string, unknown>));
  }

  /** What the file says, without defaults. */
  get given(): Partial<Config> {
    return this.#given;
  }

  get values(): Config {
    const defaults = Object.fromEntries(KEYS.map((key) => [key, SETTINGS[key].default]));
    return { ...defaults, ...this.#given } as Config;
  }

  /** null puts a default back. Returns the settings that changed and take effect at the next start. Throws `bad-config`. */
  patch(changes: Readonly<Record<string, unknown>>): Promise<string[]> {
    return this.#patching.run(() => this.#patch(changes));
  }

  async #patch(changes: Readonly<Record<string, unknown>>): Promise<string[]> {
    const removed = new Set(Object.keys(changes).filter((key) => changes[key] === null));
    const set = checkSettings(Object.fromEntries(Object.entries(changes).filter(([key]) => !removed.has(key))));
    // What is no setting has no default to be put back.
    for (const key of removed) if (!Object.hasOwn(SETTINGS, key)) checkSettings({ [key]: null });
    const before = this.values;
    const kept = Object.fromEntries(Object.entries(this.#given).filter(([key]) => !removed.has(key)));
    const given: Partial<Config> = { ...kept, ...set };
    await writeFileDurably(this.path, `${JSON.stringify(given, null, 2)}\n`, 0o600);
    this.#given = given;
    const after = this.values;
    return KEYS.filter((key) => SETTINGS[key].restart && JSON.stringify(before[key]) !== JSON.stringify(after[key]));
  }
}

/** The table of docs/CONFIGURATION.md. */
export function settingsTable(): string {
  const rows = KEYS.map((key) => {
    const fallback = key === 'name' ? "the machine's name" : `\`${JSON.stringify(SETTINGS[key].default)}\``;
    return `| \`${key}\` | ${fallback} | ${SETTINGS[key].restart ? 'next start' : 'at once'} | ${SETTINGS[key].says} |`;
  });
  return ['| setting | default | a change takes effect | what it is |', '|---|---|---|---|', ...rows].join('\n');
}
