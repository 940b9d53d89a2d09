/**
 * Holds docs/PROTOCOL.md to the code: its tables, the numbers in its text, and its worked examples, which are parsed from the page and
 * computed anew from the inputs that stand there.
 *
 * `TIDELOG_UPDATE_DOCS=1 vitest run test/docs` writes what differs into the page instead of failing; prettier then aligns its tables.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, expect, test } from 'vitest';
import { MemoryStore } from '../../client/memory-store.ts';
import { nodeCrypto as crypto } from '../../client/platform/crypto-node.ts';
import { admitBatch } from '../../client/replica/admit.ts';
import { View } from '../../client/replica/view.ts';
import { readWords, wordsOf } from '../../client/recovery-words.ts';
import { authenticate } from '../../protocol/authenticate.ts';
import { decodeBatch, encodeBatch } from '../../protocol/batch.ts';
import { decodeBody, encodeBody, hashBody } from '../../protocol/body.ts';
import { fromHex, toHex, utf8 } from '../../protocol/bytes.ts';
import { Channel } from '../../protocol/channel.ts';
import { chainId, ChainHasher, spaceId, ZERO_ID } from '../../protocol/commit.ts';
import * as constants from '../../protocol/constants.ts';
import { formatDeviceId, parseDeviceId, shortDeviceId } from '../../protocol/device-id.ts';
import { describe as describeMessage } from '../../protocol/describe.ts';
import { ERRORS, type ErrorCode } from '../../protocol/errors.ts';
import { readFacts, readFounding, ROLES } from '../../protocol/membership.ts';
import { decodeMessage, encodeMessage } from '../../protocol/messages.ts';
import { decodePairLink, encodePairLink, pairDigits, pairProof, syncUrl } from '../../protocol/pair-link.ts';
import { digest } from '../../protocol/vector.ts';
import { Network, pair } from '../support/network.ts';
import { workedExchange } from './exchange.ts';

const path = new URL('../../docs/PROTOCOL.md', import.meta.url);
const isUpdate = process.env['TIDELOG_UPDATE_DOCS'] === '1';
let page = readFileSync(path, 'utf8');

afterAll(() => {
  if (isUpdate) writeFileSync(path, page);
});

// ---- tables: `<!-- table: name -->`, then a table whose first columns are the code's

function tableBlock(name: string): { block: string; rows: string[][] } {
  const match = new RegExp(`<!-- table: ${name} -->\\n\\n(?<block>(?:\\|.*\\n)+)`).exec(page);
  if (!match) throw new Error(`PROTOCOL.md has no table ${name}`);
  const { block } = match.groups as { block: string };
  const [, , ...rows] = block.trimEnd().split('\n');
  return { block, rows: rows.map((row) => row.split('|').slice(1, -1).map(plain)) };
}

/** Without the padding, the marks of code, and the commas in numbers. */
function plain(cell: string): string {
  const text = cell.trim().replace(/^`(.*)`$/, '$1');
  return /^\d[\d,]*$/.test(text) ? text.replaceAll(',', '') : text;
}

/** The table's first columns are these, row by row. */
function expectTable(name: string, expected: readonly (readonly string[])[], isCode: readonly boolean[]): void {
  const { block, rows } = tableBlock(name);
  const width = isCode.length;
  if (isUpdate) {
    const [head, line] = block.split('\n') as [string, string];
    const rest = new Map(rows.map((row) => [row[0]!, row.slice(width)]));
    const columns = head.split('|').length - 2;
    const body = expected.map((row) => {
      const cells = row.map((cell, i) => (isCode[i] && cell !== '' ? `\`${cell}\`` : cell));
      return `| ${[...cells, ...(rest.get(row[0]!) ?? Array.from({ length: columns - width }, () => 'TODO'))].join(' | ')} |`;
    });
    page = page.replace(block, () => `${[head, line, ...body].join('\n')}\n`);
    return;
  }
  expect(rows.map((row) => row.slice(0, width))).toEqual(expected.map((row) => row.map(plain)));
}

/** 4,194,304 */
function grouped(number: number): string {
  return String(number).replaceAll(/\B(?=(?:\d{3})+$)/g, ',');
}

test('the constants are those of protocol/constants.ts, all of them', () => {
  const rows = Object.entries(constants).flatMap(([name, value]) => {
    if (typeof value === 'number') return [[name, grouped(value)]];
    return typeof value === 'string' ? [[name, value]] : [];
  });
  expectTable('constants', rows, [true, false]);
});

test('the labels are those that the code hashes', () => {
  expectTable('labels', Object.entries(constants.LABEL), [true, true]);
});

test('the message types have their numbers', () => {
  const rows = Object.entries(constants.MESSAGE_TYPE)
    .toSorted((a, b) => a[1] - b[1])
    .map(([name, number]) => [String(number), name]);
  expectTable('messages', rows, [false, true]);
});

test('the codecs have their numbers', () => {
  expectTable(
    'codecs',
    Object.entries(constants.CODEC).map(([name, number]) => [String(number), name.toLowerCase()]),
    [false, true],
  );
});

test('the roles are the four', () => {
  expectTable(
    'roles',
    ROLES.map((role) => [role]),
    [true],
  );
});

const IN_UNSUBSCRIBED: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'cursor-epoch',
  'cursor-too-old',
  'cursor-too-new',
  'unknown-space',
  'bad-request',
]);

/** Where an error is meant to travel. */
function carrierOf(code: ErrorCode): string {
  if (code === 'pairing-pending') return 'REFUSED';
  if (code.startsWith('invite-') || code === 'pairing-rejected') return 'REFUSED, ERROR';
  if (IN_UNSUBSCRIBED.has(code)) return 'UNSUBSCRIBED';
  return ERRORS[code].close === null ? '' : 'ERROR';
}

test('the errors are those of protocol/errors.ts, all of them', () => {
  const codes = Object.keys(ERRORS) as ErrorCode[];
  const row = (code: ErrorCode): string[] => {
    const { retry, close, sentence } = ERRORS[code];
    return [code, retry ? 'yes' : 'no', close === null ? '' : String(close), carrierOf(code), sentence];
  };
  const isWire = (code: ErrorCode): boolean => carrierOf(code) !== '';
  expectTable('wire errors', codes.filter(isWire).map(row), [true, false, false, false, false]);
  const local = codes.filter((code) => !isWire(code)).map((code) => [code, row(code)[1]!, ERRORS[code].sentence]);
  expectTable('local errors', local, [true, false, false]);
});

test('the capabilities are those that a peer names', async () => {
  const network = new Network();
  try {
    const [host, guest] = [await network.add('host'), await network.add('guest')];
    await pair(host, guest);
    const named = guest.peer.connections()[0]!.remote!.capabilities;
    expectTable(
      'capabilities',
      named.map((name) => [name]),
      [true],
    );
  } finally {
    await network.close();
  }
});

test('a number that stands behind the name of a constant is its value', () => {
  const byName = new Map(Object.entries(constants));
  const named = [...page.matchAll(/`([A-Z][A-Z_]+)`\s\((-?[\d,]*\d)\b/g)];
  expect(named.length).toBeGreaterThan(10);
  for (const [, name, number] of named) {
    expect([name, Number(number!.replaceAll(',', ''))]).toEqual([name, byName.get(name!)]);
  }
});

// ---- examples: `<!-- example: name -->`, then a fence of lines `name = value`; long values go on in indented lines

type Values = (name: string) => string;

const exampleText = (name: string): string => {
  const match = new RegExp(`<!-- example: ${name} -->\\n\\n\`\`\`text\\n(?<text>[^]*?)\`\`\``).exec(page);
  if (!match) throw new Error(`PROTOCOL.md has no example ${name}`);
  return match.groups!['text']!;
};

function valuesOf(name: string): Map<string, string> {
  const values = new Map<string, string>();
  for (const line of exampleText(name).replaceAll(/\n\s+/g, '').trimEnd().split('\n')) {
    const at = line.indexOf('=');
    values.set(line.slice(0, at).trim(), line.slice(at + 1).trim());
  }
  return values;
}

const WRAP_CHARACTERS = 96;

function exampleLines(values: ReadonlyMap<string, string>): string {
  const width = Math.max(...[...values.keys()].map((name) => name.length));
  return [...values]
    .map(([name, value]) => {
      const lines: string[] = [];
      const isHex = /^[0-9a-f]+$/.test(value) || value.startsWith('http');
      const step = isHex ? WRAP_CHARACTERS : value.length || 1;
      for (let start = 0; start < value.length; start += step) lines.push(value.slice(start, start + step));
      return `${name.padEnd(width)} = ${lines.join(`\n${' '.repeat(width + 3)}`)}\n`;
    })
    .join('');
}

/** What the page gives as the outcome is what comes of the inputs that it gives. */
function expectExample(name: string, compute: (get: Values) => Record<string, string>): void {
  const values = valuesOf(name);
  const get: Values = (key) => {
    const value = values.get(key);
    if (value === undefined) throw new Error(`example ${name} gives no ${key}`);
    return value;
  };
  const outcome = compute(get);
  if (isUpdate) {
    const before = exampleText(name);
    for (const [key, value] of Object.entries(outcome)) values.set(key, value);
    page = page.replace(`<!-- example: ${name} -->\n\n\`\`\`text\n${before}`, () => {
      return `<!-- example: ${name} -->\n\n\`\`\`text\n${exampleLines(values)}`;
    });
    return;
  }
  for (const [key, value] of Object.entries(outcome)) expect({ [key]: values.get(key) }).toEqual({ [key]: value });
}

function hex(text: string): Uint8Array {
  const bytes = fromHex(text);
  if (bytes === null) throw new Error(`not hex: ${text}`);
  return bytes;
}

/** A value of another example. */
function from(example: string, key: string): Uint8Array {
  return hex(valuesOf(example).get(key) ?? 'missing');
}

test('example: device ID', () => {
  expectExample('device ID', (get) => {
    const key = crypto.ed25519KeyPair(hex(get('seed'))).public;
    const id = formatDeviceId(key);
    expect(parseDeviceId(id.toLowerCase().replaceAll('-', ' '))).toEqual(key);
    const characters = id.replaceAll('-', '');
    const parts = [0, 14, 28, 42].map((start) => characters.slice(start, start + 14));
    return {
      'public key': toHex(key),
      base32: parts.map((part) => part.slice(0, 13)).join(''),
      'check characters': parts.map((part) => part[13]).join(' '),
      'device ID': id,
      'short form': shortDeviceId(key),
    };
  });
});

test('example: recovery key', () => {
  expectExample('recovery key', (get) => {
    const seed = hex(get('seed'));
    const words = wordsOf(seed);
    expect(readWords(`${get('words 1 to 12')} ${get('words 13 to 24')}`)).toEqual(seed);
    return {
      'words 1 to 12': words.slice(0, 12).join(' '),
      'words 13 to 24': words.slice(12).join(' '),
      'device ID': formatDeviceId(crypto.ed25519KeyPair(seed).public),
    };
  });
});

test('example: space', () => {
  expectExample('space', (get) => {
    const owner = from('device ID', 'public key');
    return { 'owner key': toHex(owner), 'space id': toHex(spaceId(crypto, owner, hex(get('salt')))) };
  });
});

const spaceOfExamples = (): Uint8Array => from('space', 'space id');

function commitExample(seq: number, prev: Uint8Array, get: Values): Record<string, string> {
  const device = crypto.ed25519KeyPair(from('device ID', 'seed'));
  const chain = { space: spaceOfExamples(), device: device.public, nonce: from('commit 1', 'nonce') };
  const body = hex(get('body'));
  const bodyHash = hashBody(crypto, body);
  const hasher = new ChainHasher(crypto, chain);
  const signature = hasher.sign(device, seq, prev, bodyHash);
  return {
    ...(seq === 1 && { 'chain id': toHex(chainId(crypto, chain)) }),
    'body hash': toHex(bodyHash),
    header: toHex(hasher.header(seq, prev, bodyHash)),
    signature: toHex(signature),
    'commit id': toHex(hasher.id(seq, prev, bodyHash, signature)),
  };
}

test('example: commit 1 founds the space', () => {
  expectExample('commit 1', (get) => {
    const { time, deps, changes } = decodeBody(hex(get('body')));
    expect({ time, deps }).toEqual({ time: Number(get('time')), deps: [] });
    const owner = from('device ID', 'public key');
    expect(readFounding(crypto, spaceOfExamples(), owner, changes).name).toBe('home');
    expect(readFacts(changes)).toEqual([{ target: toHex(owner), role: 'owner', revoked: null }]);
    return commitExample(1, ZERO_ID, get);
  });
});

test('example: commit 2 follows it', () => {
  expectExample('commit 2', (get) => {
    const body = decodeBody(hex(get('body')));
    expect(JSON.stringify(body)).toBe(get('as JSON'));
    expect(toHex(encodeBody(body))).toBe(get('body'));
    return commitExample(2, from('commit 1', 'commit id'), get);
  });
});

test('example: batch', () => {
  expectExample('batch', () => {
    const chain = { device: from('device ID', 'public key'), nonce: from('commit 1', 'nonce'), seq: 0, id: ZERO_ID };
    const entry = (name: string) =>
      ({ kind: 'commit', chain: 0, signature: from(name, 'signature'), body: from(name, 'body') }) as const;
    const raw = encodeBatch({ chains: [chain], entries: [entry('commit 1'), entry('commit 2')] });
    const { entries } = authenticate(crypto, spaceOfExamples(), decodeBatch(raw));
    expect(entries.map(({ id }) => toHex(id))).toEqual(
      ['commit 1', 'commit 2'].map((name) => toHex(from(name, 'commit id'))),
    );
    return { 'batch data': toHex(raw), bytes: String(raw.length) };
  });
});

test('example: digest', () => {
  expectExample('digest', () => {
    const head = { chain: from('commit 1', 'chain id'), seq: 2, id: from('commit 2', 'commit id') };
    return { 'of no chain': toHex(digest(crypto, [])), 'of the chain at seq 2': toHex(digest(crypto, [head])) };
  });
});

test('example: handshake', () => {
  expectExample('handshake', (get) => {
    const side = (name: 'initiator' | 'responder'): Channel =>
      new Channel({
        initiator: name === 'initiator',
        crypto,
        random: () => hex(get(`${name} ephemeral`)),
        deviceKeys: crypto.ed25519KeyPair(hex(get(`${name} seed`))),
        noiseKeys: crypto.x25519KeyPair(hex(get(`${name} static`))),
      });
    const [initiator, responder] = [side('initiator'), side('responder')];
    const first = initiator.start()!;
    const [second] = responder.receive(first).send as [Uint8Array];
    const [third] = initiator.receive(second).send as [Uint8Array];
    expect(responder.receive(third).established).toBe(true);
    expect(toHex(responder.handshakeHash)).toBe(toHex(initiator.handshakeHash));
    expect(toHex(responder.remoteDevice)).toBe(toHex(from('device ID', 'public key')));
    const heartbeat = encodeMessage({ type: 'HEARTBEAT', spaces: [], time: 0 });
    const [sealed] = initiator.seal(heartbeat) as [Uint8Array];
    expect(responder.receive(sealed).message).toEqual(heartbeat);
    return {
      'message 1': toHex(first),
      'message 2': toHex(second),
      'message 3': toHex(third),
      'handshake hash': toHex(initiator.handshakeHash),
      digits: pairDigits(crypto, initiator.handshakeHash),
      'HEARTBEAT, encoded': toHex(heartbeat),
      'first frame, sealed': toHex(sealed),
    };
  });
});

test('example: pairing link and proof', () => {
  expectExample('pairing', (get) => {
    const invite = {
      device: from('device ID', 'public key'),
      addresses: [get('address')],
      space: spaceOfExamples(),
      spaceName: get('space name'),
      role: 'writer',
      id: hex(get('invite id')),
      secret: hex(get('secret')),
      expiresMs: Number(get('expiry')),
    } as const;
    const link = encodePairLink(crypto, invite);
    expect(decodePairLink(crypto, link)).toEqual(invite);
    const joiner = crypto.ed25519KeyPair(hex(get('joiner seed'))).public;
    const hash = from('handshake', 'handshake hash');
    return {
      link,
      'sync URL': syncUrl(link),
      'joiner key': toHex(joiner),
      proof: toHex(pairProof(crypto, invite.secret, hash, joiner)),
    };
  });
});

test.each(Object.keys(constants.MESSAGE_TYPE))('example: %s', (name) => {
  expectExample(name, (get) => {
    const message = decodeMessage(hex(get('bytes')));
    expect(message?.type).toBe(name);
    return { bytes: toHex(encodeMessage(message!)), means: describeMessage(message!) };
  });
});

// ---- the worked exchange: `<!-- exchange: name -->`, then a fence that is compared as it stands

const worked = workedExchange({
  salt: from('space', 'salt'),
  nonce: from('commit 1', 'nonce'),
  bodies: [from('commit 1', 'body'), from('commit 2', 'body')],
});

test.each([...worked.blocks.keys()])('exchange: %s', (name) => {
  const marker = `<!-- exchange: ${name} -->\n\n`;
  const at = page.indexOf(marker) + marker.length;
  const match = /^(?<open>```[a-z]+\n)(?<text>[^]*?)```/.exec(page.slice(at));
  if (at < marker.length || !match) throw new Error(`PROTOCOL.md has no exchange ${name}`);
  const { open, text } = match.groups as { open: string; text: string };
  const expected = worked.blocks.get(name)!;
  if (isUpdate) page = page.slice(0, at) + open + expected + page.slice(at + open.length + text.length);
  else expect(text).toBe(expected);
});

test('the exchange on the page is the whole of it, and its first batch that of section 5', () => {
  const marked = [...page.matchAll(/<!-- exchange: (.*) -->/g)].map(([, name]) => name!);
  expect(marked.toSorted()).toEqual([...worked.blocks.keys()].toSorted());
  expect(toHex(worked.batches[0]!)).toBe(toHex(from('batch', 'batch data')));
});

test('a receiver that holds nothing takes the batches of the exchange, and comes to the digest that CAUGHT_UP says', () => {
  const view = new View(crypto, new MemoryStore(), new Uint8Array(32), worked.space, 1);
  for (const raw of worked.batches) {
    const { entries } = admitBatch(view, crypto, authenticate(crypto, worked.space, decodeBatch(raw)), 1.8e15);
    expect(entries.every((entry) => entry.kind === 'commit' && entry.counts)).toBe(true);
  }
  const heads = view.chains.map(({ id, seq, head }) => ({ chain: id, seq, id: head }));
  expect(toHex(digest(crypto, heads))).toBe(toHex(worked.digest));
  expect(view.roleOf(crypto.ed25519KeyPair(from('pairing', 'joiner seed')).public)).toBe('reader');
});

test('the byte ranges of the header add up', () => {
  const { rows } = tableBlock('header');
  let end = 0;
  for (const [offset, bytes] of rows) {
    expect(Number(offset)).toBe(end);
    end += Number(bytes);
  }
  expect(end).toBe(constants.HEADER_BYTES);
});

test('the labels in the text are those of the table', () => {
  const known = new Set<string>(Object.values(constants.LABEL));
  const used = [...page.matchAll(/"(tidelog\/1 [a-z]+)"/g)].map(([, label]) => label!);
  expect(used.filter((label) => !known.has(label))).toEqual([]);
  expect([...known].filter((label) => !used.includes(label))).toEqual([]);
  expect(utf8(constants.PROLOGUE)).toHaveLength(9);
});
