/** What is in a log: bodies, runs, batches and their packing, vectors and digests. */
import { encodeBatch, type Batch } from '../../protocol/batch.ts';
import { decodeBody, encodeBody, eraseBody, hashBody, type Body, type Change } from '../../protocol/body.ts';
import { concat, toHex } from '../../protocol/bytes.ts';
import { ZERO_ID } from '../../protocol/commit.ts';
import { digest, type ChainHead } from '../../protocol/vector.ts';
import { littleEndian, SMALL_ORDER, signatureWithoutR, withGreaterS } from './identity.ts';
import {
  batchHex,
  bytesOf,
  Chain,
  crypto,
  deviceOf,
  flip,
  FOUNDING,
  hex,
  packed,
  set,
  SPACE,
  TIME,
  toJson,
  type Pieces,
} from './world.ts';

// ---- bodies

const CHAIN_1 = bytesOf('chain 1', 16);
const CHAIN_2 = bytesOf('chain 2', 16);
const change = (ops: object, subject = 'a'): Change => ({ subject, ops }) as Change;
const bodyOf = (...changes: Change[]): Body => ({ time: TIME, deps: [], changes });

/** A value of `levels` arrays, one in the other. */
function nested(levels: number): string {
  return `${'91'.repeat(levels - 1)}90`;
}

export function bodies(): object {
  const shortest: [name: string, body: Body][] = [
    ['the smallest', { time: 0, deps: [], changes: [change({ destroy: true })] }],
    ['the founding commit of PROTOCOL.md', bodyOf(...FOUNDING)],
    ['set: every kind of value', bodyOf(change({ set: { null: null, yes: true, no: false, text: 'é', bytes: hex('00ff'), list: [1, ['two']], map: { b: 1, a: {} } } }))], // prettier-ignore
    ['set: numbers', bodyOf(change({ set: { a: 0, b: -1, c: 2 ** 53 - 1, d: -(2 ** 53 - 1), e: 0.1, f: 2 ** 32, g: -1.5e-300 } }))], // prettier-ignore
    ['unset', bodyOf(change({ unset: ['a', 'b'] }))],
    ['inc', bodyOf(change({ inc: { up: 1, down: -2, most: 2 ** 53 - 1, least: -(2 ** 53 - 1), none: 0 } }))],
    ['add', bodyOf(change({ add: { tags: ['red', 1, null, hex('01'), { a: 1 }, 'red'] } }))],
    ['remove', bodyOf(change({ remove: { tags: ['red'] } }))],
    ['add and remove share a property', bodyOf(change({ add: { tags: ['red'] }, remove: { tags: ['blue', 'red'] } }))],
    ['all ops at once', bodyOf(change({ destroy: true, set: { a: 1 }, unset: ['b'], inc: { c: 1 }, add: { d: [1] }, remove: { e: [1] } }))], // prettier-ignore
    ['two subjects', bodyOf(set('a', { x: 1 }), set('b', { x: 1 }))],
    ['deps', { time: TIME, deps: [{ chain: CHAIN_1, seq: 1 }, { chain: CHAIN_2, seq: 2 ** 53 - 1 }], changes: [set('a', { x: 1 })] }], // prettier-ignore
    ['a dep past a fork', { time: TIME, deps: [{ chain: CHAIN_1, seq: 7, id: bytesOf('id', 32) }, { chain: CHAIN_2, seq: 1 }], changes: [set('a', { x: 1 })] }], // prettier-ignore
    ['the latest time', { time: 2 ** 53 - 1, deps: [], changes: [set('a', { x: 1 })] }],
    ['the longest subject: 1,024 bytes', bodyOf(set('é'.repeat(512), { x: 1 }))],
    ['the longest property name: 255 bytes', bodyOf(set('a', { ['x'.repeat(255)]: 1 }))],
    [
      'names that languages have for themselves',
      bodyOf(set('constructor', { toString: 1, prototype: 2, hasOwnProperty: 3 })),
    ],
  ];
  const other: [name: string, bytes: string][] = [
    ['time as a float, a whole number', `93cb${float(TIME)}9091${packed(['a', { destroy: true }])}`],
    ['seq of a dep as a float', `9300919 2c410${toHex(CHAIN_1)}ca40400000 91${packed(['a', { destroy: true }])}`.replaceAll(' ', '')], // prettier-ignore
    ['time in nine bytes where one would do', `93cf000000000000000190 91${packed(['a', { destroy: true }])}`],
    ['inc by 1.0', `930090919 2a16181a3696e6381a163cb${float(1)}`],
    ['map and texts with long lengths', `930090 91 92 d90161 df00000001 da0003736574 de0001 db0000000178 c0`],
    ['arrays with long lengths', `9300dc0000 dd00000001 dc0002a161 81a5756e736574dd00000001a162`],
    ['a byte order mark is a character', `93009091 92a161 81a373657481a178a6efbbbf616263`],
    ['32 levels', `9300909192a16181a373657481a178${nested(27)}`],
    ['32 levels in an add', `9300909192a16181a361646481a17891${nested(26)}`],
  ];
  const one = (name: string, bytes: Uint8Array): object => {
    const { stem, changesHash } = eraseBody(crypto, bytes);
    const { time, deps, changes } = decodeBody(bytes);
    return {
      name,
      body: toHex(bytes),
      time,
      deps: deps.map(({ chain, seq, id }) => (id ? [toHex(chain), seq, toHex(id)] : [toHex(chain), seq])),
      changes: toJson(changes.map(({ subject, ops }) => [subject, ops])),
      isShortest: toHex(encodeBody({ time, deps, changes })) === toHex(bytes),
      stem: toHex(stem),
      changesHash: toHex(changesHash),
      bodyHash: toHex(hashBody(crypto, bytes)),
    };
  };
  // [[“a”, {set: {x: bytes}}]] and a time of one byte: 22 bytes around the byte string.
  const head = '9300909192a16181a373657481a178c6';
  const filling = 1_048_576 - (head.length / 2 + 4);
  const largest: Pieces = [head + u32(filling), ['00', filling]];
  return {
    bodies: [
      ...shortest.map(([name, body]) => one(name, encodeBody(body))),
      ...other.map(([name, bytes]) => one(name, hex(bytes))),
    ],
    large: [{ name: 'the largest: 1,048,576 bytes', body: largest, bytes: 1_048_576, bodyHash: toHex(hashBody(crypto, concat(hex(head + u32(filling)), new Uint8Array(filling)))) }], // prettier-ignore
  };
}

function float(value: number): string {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setFloat64(0, value);
  return toHex(bytes);
}

function u32(value: number): string {
  return value.toString(16).padStart(8, '0');
}

export function bodiesInvalid(): object {
  const end = packed([['a', { destroy: true }]]);
  const withOps = (ops: unknown): string => `930090${packed([['a', ops]])}`;
  const withDeps = (deps: unknown): string => `9300${packed(deps)}${end}`;
  const head = '9300909192a16181a373657481a178c6';
  const filling = 1_048_577 - (head.length / 2 + 4);
  const refused: [name: string, body: string | Pieces, why: string, code?: string][] = [
    [
      '1,048,577 bytes',
      [head + u32(filling), ['00', filling]],
      'a body has at most 1,048,576 bytes',
      'commit-too-large',
    ],
    ['empty', '', 'it does not begin with 93'],
    ['an array of two', `9200${end}`, 'it does not begin with 93'],
    ['an array of four', `940090${end}c0`, 'it does not begin with 93'],
    ['an array of three with a longer head', `dc00030090${end}`, 'it does not begin with 93: the first byte tells kinds of body apart'], // prettier-ignore
    ['a map', '80', 'it does not begin with 93'],
    ['cut off', `930090${end}`.slice(0, -2), 'it ends too early'],
    ['bytes after its end', `930090${end}c0`, 'one value, and nothing after it'],
    ['time below 0', `93ff90${end}`, 'time is a count'],
    ['half a microsecond', `93cb${float(1.5)}90${end}`, 'time is a count'],
    ['time as text', `93a13090${end}`, 'time is a count'],
    ['time past 2^53 - 1', `93cf002000000000000090${end}`, 'an integer lies within 2^53 - 1'],
    ['deps nil', `9300c0${end}`, 'deps are an array'],
    ['deps a map', `930080${end}`, 'deps are an array'],
    ['a dep that is no array', withDeps([1]), 'a dep is [chain, seq]'],
    ['a dep of one', withDeps([[CHAIN_1]]), 'a dep is [chain, seq]'],
    ['a dep of three, the third no id', withDeps([[CHAIN_1, 1, 1]]), 'a dep is [chain, seq] or [chain, seq, id]'],
    ['a dep with an id of 31 bytes', withDeps([[CHAIN_1, 1, bytesOf('id', 31)]]), 'an id has 32 bytes'],
    ['a dep of four', withDeps([[CHAIN_1, 1, bytesOf('id', 32), 1]]), 'in bodies nothing may follow'],
    ['a dep with 15 bytes', withDeps([[CHAIN_1.subarray(1), 1]]), 'a chain id has 16 bytes'],
    ['a dep with 32 bytes', withDeps([[bytesOf('chain', 32), 1]]), 'a chain id has 16 bytes'],
    ['a dep with hex', withDeps([[toHex(CHAIN_1), 1]]), 'a chain id is bytes'],
    ['a dep at seq 0', withDeps([[CHAIN_1, 0]]), 'a seq is from 1'],
    ['a dep at seq -1', withDeps([[CHAIN_1, -1]]), 'a seq is from 1'],
    ['a dep at seq 1.5', withDeps([[CHAIN_1, 1.5]]), 'a seq is an integer'],
    ['a chain twice in deps', withDeps([[CHAIN_1, 1], [CHAIN_2, 1], [CHAIN_1, 2]]), 'no chain stands in deps twice'], // prettier-ignore
    ['no changes', '93009090', 'one change or more'],
    ['changes nil', '930090c0', 'changes are an array'],
    ['changes a map', '93009080', 'changes are an array'],
    ['a change of one', `930090${packed([['a']])}`, 'a change is [subject, ops]'],
    ['a change of three', `930090${packed([['a', { destroy: true }, 1]])}`, 'a change is [subject, ops]'],
    ['an empty subject', `930090${packed([['', { destroy: true }]])}`, 'a subject has 1 to 1,024 bytes'],
    ['a subject of 1,025 bytes', `930090${packed([[`${'é'.repeat(512)}x`, { destroy: true }]])}`, 'a subject has 1 to 1,024 bytes, not characters'], // prettier-ignore
    ['a subject with a line break', `930090${packed([['a\nb', { destroy: true }]])}`, 'no control characters'],
    ['a subject with U+007F', `930090${packed([['a\u007f', { destroy: true }]])}`, 'no control characters'],
    ['a subject of bytes', `930090${packed([[hex('61'), { destroy: true }]])}`, 'a subject is text'],
    ['a subject twice', `930090${packed([['a', { destroy: true }], ['a', { unset: ['x'] }]])}`, 'no subject stands there twice'], // prettier-ignore
    ['a subject that is not UTF-8', '93009091 92a1ff81a764657374726f79c3', 'text is UTF-8'],
    ['half a surrogate pair', '93009091 92a3eda08081a764657374726f79c3', 'text is UTF-8, which has no surrogates'],
    ['an overlong encoding', '93009091 92a2c1a181a764657374726f79c3', 'text is UTF-8'],
    ['ops nil', withOps(null), 'ops are a map'],
    ['ops an array', withOps(['destroy']), 'ops are a map'],
    ['no ops', withOps({}), 'one op or more'],
    ['an unknown op', withOps({ set: { x: 1 }, push: { x: 1 } }), 'every op stands in the table'],
    ['an op in upper case', withOps({ SET: { x: 1 } }), 'every op stands in the table'],
    ['destroy false', withOps({ destroy: false }), 'destroy is true'],
    ['destroy 1', withOps({ destroy: 1 }), 'destroy is true'],
    ['set empty', withOps({ set: {} }), 'one entry or more'],
    ['set an array', withOps({ set: ['x', 1] }), 'set is a map'],
    ['set bytes', withOps({ set: hex('00') }), 'set is a map'],
    ['set with an empty property name', withOps({ set: { '': 1 } }), 'a property name has 1 to 255 bytes'],
    ['set with a property name of 256 bytes', withOps({ set: { ['é'.repeat(128)]: 1 } }), 'a property name has 1 to 255 bytes'], // prettier-ignore
    ['set with a control character', withOps({ set: { 'a\tb': 1 } }), 'no control characters'],
    ['set __proto__', '9300909192a16181a373657481a95f5f70726f746f5f5f01', 'no map has the key __proto__'],
    ['__proto__ in a value', '9300909192a16181a373657481a17881a95f5f70726f746f5f5f01', 'no map has the key __proto__'],
    ['unset __proto__', withOps({ unset: ['__proto__'] }), 'no property is called __proto__'],
    ['unset empty', withOps({ unset: [] }), 'one or more'],
    ['unset a map', withOps({ unset: { x: true } }), 'unset is an array'],
    ['unset a number', withOps({ unset: [1] }), 'property names are text'],
    ['unset one name twice', withOps({ unset: ['x', 'y', 'x'] }), 'none twice'],
    ['inc empty', withOps({ inc: {} }), 'one entry or more'],
    ['inc by a half', withOps({ inc: { x: 0.5 } }), 'an amount is an integer'],
    ['inc by text', withOps({ inc: { x: '1' } }), 'an amount is an integer'],
    ['inc by nil', withOps({ inc: { x: null } }), 'an amount is an integer'],
    ['inc past 2^53 - 1', '9300909192a16181a3696e6381a178cf0020000000000000', 'an integer lies within 2^53 - 1'],
    ['add empty', withOps({ add: {} }), 'one entry or more'],
    ['add no values', withOps({ add: { x: [] } }), 'one value or more'],
    ['add a value that is no array', withOps({ add: { x: 'red' } }), 'add has arrays'],
    ['remove no values', withOps({ remove: { x: [] } }), 'one value or more'],
    ['set and inc of one property', withOps({ set: { x: 1 }, inc: { x: 1 } }), 'a property stands in one op'],
    ['set and unset of one property', withOps({ set: { x: 1 }, unset: ['x'] }), 'a property stands in one op'],
    ['set and add of one property', withOps({ set: { x: 1 }, add: { x: [1] } }), 'a property stands in one op'],
    ['unset and remove of one property', withOps({ unset: ['x'], remove: { x: [1] } }), 'a property stands in one op'],
    ['inc and remove of one property', withOps({ inc: { x: 1 }, remove: { x: [1] } }), 'a property stands in one op'],
    ['33 levels', `9300909192a16181a373657481a178${nested(28)}`, 'a body has at most 32 levels'],
    ['33 levels of maps', `9300909192a16181a373657481a178${'81a161'.repeat(27)}80`, 'a body has at most 32 levels'],
    ['not a number', `9300909192a16181a373657481a178cb7ff8000000000000`, 'a float is finite'],
    ['infinity', `9300909192a16181a373657481a178cbfff0000000000000`, 'a float is finite'],
    ['infinity in four bytes', `9300909192a16181a373657481a178ca7f800000`, 'a float is finite'],
    ['a float past 2^53 - 1', `9300909192a16181a373657481a178cb${float(2 ** 53)}`, 'past 2^53 a float is a whole number, and so an integer'], // prettier-ignore
    ['an integer of -2^53', '9300909192a16181a373657481a178d3ffe0000000000000', 'an integer lies within 2^53 - 1'],
    ['the byte c1', '9300909192a16181a373657481a178c1', 'c1 is never used'],
    ['an extension', '9300909192a16181a373657481a178d40100', 'no extension types'],
    ['a timestamp', '9300909192a16181a373657481a178d6ff00000000', 'no extension types'],
    ['a key twice', '9300909192a16181a373657482a17801a17802', 'each key occurs once'],
    ['a key twice, in two encodings', '9300909192a16181a373657482a17801d9017802', 'each key occurs once'],
    ['a key that is a number', '9300909192a16181a37365748101c0', 'keys are text'],
    ['a key of bytes', '9300909192a16181a373657481c40178c0', 'keys are text'],
    ['an array that promises more than there is', '9300ddffffffff', 'it ends too early'],
    ['text that promises more than there is', '93dbffffffff61', 'it ends too early'],
  ];
  const stems: [name: string, stem: string, why: string][] = [
    ['empty', '', 'it does not begin with 93'],
    ['another first byte', '940090', 'it does not begin with 93'],
    ['no deps', '9300', 'it ends too early'],
    ['with changes', `930090${end}`, 'what follows the deps is no part of a stem'],
    ['time as text', '93a13090', 'time is a count'],
    ['a chain twice in deps', `9300${packed([[CHAIN_1, 1], [CHAIN_1, 2]])}`, 'no chain stands in deps twice'], // prettier-ignore
    ['deps nested too deep', '9300919191c0', 'a dep is [chain, seq]'],
  ];
  return {
    bodies: refused.map(([name, body, why, code = 'bad-commit']) => ({
      name,
      body: typeof body === 'string' ? body.replaceAll(' ', '') : body,
      code,
      why,
    })),
    stems: stems.map(([name, stem, why]) => ({ name, stem, code: 'bad-commit', why })),
    hashes: [
      ['another first byte', '80'],
      ['time that ends too early', '93cd00'],
      ['no changes at all: the stem has no end', '9300'],
    ].map(([name, body]) => ({ name, body, code: 'bad-commit', why: 'a stem that cannot be told apart has no hash' })),
  };
}

// ---- runs

function chainOf(name: string, commits: number): Chain {
  const chain = new Chain(name);
  for (let i = 1; i <= commits; i++)
    chain.write({ time: TIME + i, deps: [], changes: [set(`note/${name}`, { line: i })] });
  return chain;
}

/** What a reader must find in a batch. */
function run(name: string, batch: Batch, chains: readonly Chain[]): object {
  const seqs = batch.chains.map(({ seq }) => seq);
  return {
    name,
    space: toHex(SPACE),
    batch: batchHex(batch),
    chains: batch.chains.map(({ device, nonce, seq, id }, i) => ({
      chain: toHex(chains[i]!.id),
      device: toHex(device),
      nonce: toHex(nonce),
      seqBefore: seq,
      idBefore: toHex(id),
    })),
    entries: batch.entries.map(({ kind, ...entry }) => {
      const chain = chains[entry.chain]!;
      const seq = 'seq' in entry ? entry.seq : seqs[entry.chain]! + 1;
      const prev = seqs[entry.chain] === 0 ? ZERO_ID : chain.at(seqs[entry.chain]!).id;
      seqs[entry.chain] = seq;
      const { id, bodyHash } = chain.at(seq);
      const place = { chain: entry.chain, kind, seq, prev: toHex(prev), id: toHex(id) };
      return kind === 'gap' ? place : { ...place, bodyHash: toHex(bodyHash) };
    }),
  };
}

export function runs(): object {
  const laptop = chainOf('laptop', 5);
  const phone = chainOf('phone', 3);
  const sloppy = new Chain('sloppy');
  for (let i = 1; i <= 3; i++)
    sloppy.write(encodeBody({ time: TIME + i, deps: [], changes: [set('a', { x: i })] }), i === 2 ? bytesOf('no signature', 64) : undefined); // prettier-ignore
  return {
    runs: [
      run('one commit', laptop.batch(1, 1), [laptop]),
      run('five commits: the last signature vouches for all', laptop.batch(), [laptop]),
      run('from the middle of a chain', laptop.batch(4, 5), [laptop]),
      run(
        'two chains interleaved: two runs',
        {
          chains: [laptop.after(2), phone.after(0)],
          entries: [phone.entry(1, 1), laptop.entry(3), laptop.entry(4), phone.entry(2, 1), laptop.entry(5)],
        },
        [laptop, phone],
      ),
      run(
        'erased commits, the last of a run among them',
        { chains: [laptop.after(0)], entries: [laptop.erased(1), laptop.entry(2), laptop.erased(3)] },
        [laptop],
      ),
      run(
        'gaps: each ends a run',
        { chains: [laptop.after(0)], entries: [laptop.entry(1), laptop.gap(3), laptop.entry(4), laptop.gap(5)] },
        [laptop],
      ),
      run(
        'a gap alone, and another chain',
        { chains: [laptop.after(1), phone.after(0)], entries: [laptop.gap(4), phone.entry(1, 1), phone.erased(2, 1)] },
        [laptop, phone],
      ),
      run('a bad signature in the middle, which a later one vouches for', sloppy.batch(), [sloppy]),
      run('nothing', { chains: [], entries: [] }, []),
    ],
  };
}

export function runsInvalid(): object {
  const laptop = chainOf('laptop', 4);
  const phone = chainOf('phone', 3);
  const good = laptop.batch(1, 3);
  const last = laptop.at(3);
  const signed = laptop.hasher.signedBytes(3, last.prev, last.bodyHash).slice();
  const withLast = (signature: Uint8Array): Batch => ({ ...good, entries: good.entries.with(2, { ...laptop.entry(3), signature } as never) }); // prettier-ignore
  const withEntry = (at: number, entry: object): Batch => ({ ...good, entries: good.entries.with(at, entry as never) });
  const withChain = (chain: object): Batch => ({ ...good, chains: [{ ...good.chains[0]!, ...chain }] });
  const altered = hex(toHex(laptop.at(2).body).replace('6c696e65', '6c696e66'));
  const erased = laptop.erased(2) as Extract<ReturnType<Chain['erased']>, { kind: 'erased' }>;
  const sloppy = new Chain('sloppy');
  for (let i = 1; i <= 4; i++)
    sloppy.write(encodeBody({ time: TIME + i, deps: [], changes: [set('a', { x: i })] }), i === 2 ? bytesOf('no signature', 64) : undefined); // prettier-ignore
  const refused: [name: string, code: string, batch: Batch, why: string, space?: Uint8Array][] = [
    ['a body altered', 'bad-signature', withEntry(1, { ...laptop.entry(2), body: altered }), 'the ids after it differ, and so what the last one signs'], // prettier-ignore
    ['the last body altered', 'bad-signature', withEntry(2, { ...laptop.entry(3), body: altered }), 'it is not what was signed'], // prettier-ignore
    ['two commits swapped', 'bad-signature', { ...good, entries: [laptop.entry(2), laptop.entry(1), laptop.entry(3)] }, 'they do not link in this order'], // prettier-ignore
    ['a commit left out', 'bad-signature', { ...good, entries: [laptop.entry(1), laptop.entry(3)] }, 'the third names the second before it'], // prettier-ignore
    ['a commit twice', 'bad-signature', { ...good, entries: [laptop.entry(1), laptop.entry(2), laptop.entry(2), laptop.entry(3)] }, 'the second names the first before it'], // prettier-ignore
    ['a signature in the middle altered', 'bad-signature', withEntry(0, { ...laptop.entry(1), signature: flip(laptop.at(1).signature, 5) }), 'an id covers the signature'], // prettier-ignore
    ['signatures exchanged', 'bad-signature', { ...good, entries: [{ ...laptop.entry(1), signature: laptop.at(2).signature }, { ...laptop.entry(2), signature: laptop.at(1).signature }, laptop.entry(3)] as never }, 'an id covers the signature'], // prettier-ignore
    ['the last signature altered', 'bad-signature', withLast(flip(last.signature, 63)), 'the last signature of a run must be acceptable'], // prettier-ignore
    ['the last signature of another commit', 'bad-signature', withLast(laptop.at(2).signature), 'it signs another header'], // prettier-ignore
    ['the last signature by another device', 'bad-signature', withLast(crypto.ed25519Sign(deviceOf('phone'), signed)), 'a chain is written by its device'], // prettier-ignore
    ['the last signature with S + L', 'bad-signature', withLast(withGreaterS(last.signature)), 'S is not below L'],
    ['the last signature with R of small order', 'bad-signature', withLast(signatureWithoutR('laptop', signed)), 'R is of small order, though the equation holds'], // prettier-ignore
    ['the last signature of zeros', 'bad-signature', withLast(new Uint8Array(64)), 'R is of small order'],
    ['another space', 'bad-signature', good, 'the header begins with the space', bytesOf('another space', 32)],
    ['another nonce', 'bad-signature', withChain({ nonce: bytesOf('another nonce', 8) }), 'the header has the nonce'],
    ['another device', 'bad-signature', withChain({ device: deviceOf('phone').public }), 'the header has the device'],
    ['it begins elsewhere than it says', 'bad-signature', { ...laptop.batch(2, 3), chains: [{ ...laptop.after(1), id: bytesOf('another id', 32) }] }, 'the first names another commit before it'], // prettier-ignore
    ['it begins at another seq than it says', 'bad-signature', { ...laptop.batch(2, 3), chains: [{ ...laptop.after(1), seq: 2 }] }, 'the header has the seq'], // prettier-ignore
    ['an erased commit with another hash', 'bad-signature', withEntry(1, { ...erased, changesHash: bytesOf('hash', 32) }), 'the body hash differs'], // prettier-ignore
    ['an erased commit with another time', 'bad-signature', withEntry(1, { ...erased, stem: flip(erased.stem, 9) }), 'the body hash covers the stem'], // prettier-ignore
    ['a bad signature before a gap', 'bad-signature', { chains: [sloppy.after(0)], entries: [sloppy.entry(1), sloppy.entry(2), sloppy.gap(3)] }, 'a gap ends a run, so it is the last of its run'], // prettier-ignore
    ['a bad signature before a gap, and a good one behind it', 'bad-signature', { chains: [sloppy.after(0)], entries: [sloppy.entry(1), sloppy.entry(2), sloppy.gap(3), sloppy.entry(4)] }, 'a gap ends a run: what is behind it vouches for nothing before it'], // prettier-ignore
    ['a bad signature at the end', 'bad-signature', sloppy.batch(1, 2), 'nothing vouches for it'],
    ['the second of two runs is bad', 'bad-signature', { chains: [laptop.after(0), phone.after(0)], entries: [laptop.entry(1), { ...phone.entry(1, 1), signature: flip(phone.at(1).signature, 0) } as never] }, 'each run has a last signature'], // prettier-ignore
    ['a gap back', 'unlinked', { chains: [laptop.after(2)], entries: [laptop.entry(3), laptop.gap(2)] }, 'a gap leads forward'], // prettier-ignore
    ['a gap to where it is', 'unlinked', { chains: [laptop.after(2)], entries: [laptop.entry(3), laptop.gap(3)] }, 'a gap leads forward'], // prettier-ignore
    ['seq 0 with an id', 'unlinked', withChain({ id: laptop.at(1).id }), 'seq 0 and zeros belong together'],
    ['zeros with a seq', 'unlinked', withChain({ seq: 1 }), 'seq 0 and zeros belong together'],
    ['a chain twice', 'bad-batch', { chains: [laptop.after(0), laptop.after(1)], entries: [laptop.entry(1), laptop.entry(2, 1)] }, 'a chain is listed once'], // prettier-ignore
    ['a body that begins with another byte', 'bad-commit', withEntry(1, { ...laptop.entry(2), body: hex('80') }), 'its stem cannot be told apart, so it has no hash'], // prettier-ignore
    ...SMALL_ORDER.map((y, i): [string, string, Batch, string] => [
      `a device key of small order ${i + 1}`,
      'bad-key',
      withChain({ device: hex(y) }),
      'the key is not acceptable',
    ]),
    ['a device key with y = p', 'bad-key', withChain({ device: littleEndian(2n ** 255n - 19n) }), 'the key is not acceptable'], // prettier-ignore
  ];
  return {
    runs: refused.map(([name, code, batch, why, space = SPACE]) => ({
      name,
      space: toHex(space),
      batch: batchHex(batch),
      code,
      why,
    })),
  };
}

// ---- batches

/** What a compressor made of COMPRESSED_CONTENT once. Compressors differ in what they make, also from version to version. */
const COMPRESSED_CONTENT = concat(...Array.from({ length: 20 }, (_, i) => hex(`746964656c6f67${i.toString(16).padStart(2, '0')}`))); // prettier-ignore
const COMPRESSED =
  '28b52ffd20a0b50100d8746964656c6f67000102030405060708090a0b0c0d0e0f1011121313040440c00106041c6040c00106041c6040c00106041c602b71';

const MAGIC = '28b52ffd';
/** Block header: 21 bits of size, 2 of type, 1 of last. */
function block(type: 'raw' | 'rle' | 'compressed' | 'reserved', size: number, isLast: boolean): string {
  const number = { raw: 0, rle: 1, compressed: 2, reserved: 3 }[type];
  return toHex(littleEndian(BigInt(size * 8 + number * 2 + (isLast ? 1 : 0)), 3));
}
/** A header with one segment: descriptor, and the size in 1, 2, 4 or 8 bytes. */
function single(contentBytes: number, sizeBytes: 1 | 2 | 4 | 8): string {
  const flag = { 1: 0, 2: 1, 4: 2, 8: 3 }[sizeBytes];
  const descriptor = (flag << 6) | 0x20;
  const size = littleEndian(BigInt(sizeBytes === 2 ? contentBytes - 256 : contentBytes), sizeBytes);
  return MAGIC + descriptor.toString(16).padStart(2, '0') + toHex(size);
}
/** A header with a window, and the size in 2, 4 or 8 bytes. */
function windowed(window: number, contentBytes: number, sizeBytes: 2 | 4 | 8): string {
  const flag = { 2: 1, 4: 2, 8: 3 }[sizeBytes];
  const size = littleEndian(BigInt(sizeBytes === 2 ? contentBytes - 256 : contentBytes), sizeBytes);
  return MAGIC + (flag << 6).toString(16).padStart(2, '0') + window.toString(16).padStart(2, '0') + toHex(size);
}
/** The window of 2 MiB: 2^(10 + 11). */
const WINDOW_2_MIB = 11 << 3;

export function batches(): object {
  const laptop = chainOf('laptop', 3);
  const phone = chainOf('phone', 1);
  const mixed: Batch = {
    chains: [laptop.after(0), phone.after(0)],
    entries: [laptop.entry(1), phone.erased(1, 1), laptop.gap(2), laptop.entry(3)],
  };
  const raw = encodeBatch(mixed);
  const text = toHex(raw);
  const decoded = (name: string, batch: Batch, raw = batchHex(batch)): object => ({
    name,
    raw,
    isShortest: raw === batchHex(batch),
    chains: batch.chains.map(({ device, nonce, seq, id }) => [toHex(device), toHex(nonce), seq, toHex(id)]),
    entries: batch.entries.map((entry) => {
      const { chain, kind } = entry;
      if (kind === 'gap') return { kind, chain, seq: entry.seq, id: toHex(entry.id) };
      const signature = toHex(entry.signature);
      return kind === 'commit'
        ? { kind, chain, signature, body: toHex(entry.body) }
        : { kind, chain, signature, stem: toHex(entry.stem), changesHash: toHex(entry.changesHash) };
    }),
  });
  const emptyText = '939090c400';
  const rle = (count: number): string =>
    block('rle', 131_072, false)
      .repeat(count)
      .replaceAll(/(.{6})/g, '$100');
  const packings: [name: string, codec: number, rawBytes: number, data: string | Pieces, raw: string | Pieces][] = [
    ['none', 0, raw.length, text, text],
    ['none, empty batch', 0, 5, emptyText, emptyText],
    ['zstd: one raw block, size in one byte', 1, 5, single(5, 1) + block('raw', 5, true) + emptyText, emptyText],
    ['zstd: size in two bytes', 1, raw.length, single(raw.length, 2) + block('raw', raw.length, true) + text, text],
    ['zstd: size in four bytes', 1, 5, single(5, 4) + block('raw', 5, true) + emptyText, emptyText],
    ['zstd: size in eight bytes', 1, 5, single(5, 8) + block('raw', 5, true) + emptyText, emptyText],
    ['zstd: with a window', 1, raw.length, windowed(0, raw.length, 2) + block('raw', raw.length, true) + text, text],
    ['zstd: the largest window, 2 MiB', 1, 5, windowed(WINDOW_2_MIB, 5, 4) + block('raw', 5, true) + emptyText, emptyText], // prettier-ignore
    ['zstd: two blocks', 1, 5, single(5, 1) + block('raw', 2, false) + emptyText.slice(0, 4) + block('raw', 3, true) + emptyText.slice(4), emptyText], // prettier-ignore
    ['zstd: a block of one byte repeated', 1, 100, `${single(100, 1)}${block('rle', 100, true)}61`, [['61', 100]]],
    ['zstd: an empty block at the end', 1, 5, single(5, 1) + block('raw', 5, false) + emptyText + block('raw', 0, true), emptyText], // prettier-ignore
    ['zstd: a compressed block', 1, COMPRESSED_CONTENT.length, COMPRESSED, toHex(COMPRESSED_CONTENT)],
    ['zstd: the largest content, 2 MiB', 1, 2_097_152, `${single(2_097_152, 4)}${rle(15)}${block('rle', 131_072, true)}00`, [['00', 2_097_152]]], // prettier-ignore
  ];
  return {
    batches: [
      decoded('two commits', laptop.batch(1, 2)),
      decoded('every kind of entry', mixed),
      decoded('nothing', { chains: [], entries: [] }),
      // Long lengths wherever there is one.
      decoded('nothing, in other encodings', { chains: [], entries: [] }, 'dc0003dd00000000dc0000c600000000'),
      decoded('one commit, in other encodings', laptop.batch(1, 1), reencoded(laptop.batch(1, 1))),
    ],
    packed: packings.map(([name, codec, rawBytes, data, raw]) => ({ name, codec, rawBytes, data, raw })),
    spans: [
      { name: 'two commits, two positions', prev: 0, last: 2, raw: batchHex(laptop.batch(1, 2)) },
      { name: 'two commits, and three positions that were left out', prev: 0, last: 5, raw: batchHex(laptop.batch(1, 2)) }, // prettier-ignore
      { name: 'four entries of every kind', prev: 7, last: 11, raw: text },
      { name: 'nothing, and no position', prev: 5, last: 5, raw: emptyText },
      { name: 'nothing, and many positions', prev: 5, last: 2 ** 53 - 1, raw: emptyText },
    ],
  };
}

/** [chains, entries, signatures] of one commit, with every array and byte string in its longest form, and seq 0 as a float. */
function reencoded(batch: Batch): string {
  const bin = (bytes: Uint8Array): string => `c6${u32(bytes.length)}${toHex(bytes)}`;
  const [{ device, nonce, id }] = batch.chains as [Batch['chains'][number]];
  const [entry] = batch.entries as [Extract<Batch['entries'][number], { kind: 'commit' }>];
  return `dd00000003dd00000001dc0004${bin(device)}${bin(nonce)}cb${float(0)}${bin(id)}dd00000001dd00000002ca00000000${bin(entry.body)}${bin(entry.signature)}`;
}

export function batchesInvalid(): object {
  const laptop = chainOf('laptop', 2);
  const device = laptop.device.public;
  const { nonce } = laptop;
  const { body, signature } = laptop.at(1);
  const chain = [device, nonce, 0, ZERO_ID];
  const of = (chains: unknown, entries: unknown, signatures: unknown): string => packed([chains, entries, signatures]);
  const commit = [0, body];
  const hash = bytesOf('hash', 32);
  const many = (entries: number, signatures: number): Pieces => [
    `93${packed([chain])}dc${entries.toString(16).padStart(4, '0')}`,
    ['9200c40193', entries],
    `c6${u32(signatures * 64)}`,
    ['00', signatures * 64],
  ];
  const refused: [name: string, raw: string | Pieces, why: string, code?: string][] = [
    ['empty', '', 'it ends too early'],
    ['cut off', of([chain], [commit], signature).slice(0, -2), 'it ends too early'],
    ['bytes after its end', `${of([chain], [commit], signature)}00`, 'one value, and nothing after it'],
    ['a map', '80', 'it is [chains, entries, signatures]'],
    ['an array of two', packed([[chain], [commit]]), 'it is [chains, entries, signatures]'],
    ['an array of four', packed([[chain], [commit], signature, 0]), 'it is [chains, entries, signatures]; in batches nothing may follow'], // prettier-ignore
    ['chains nil', of(null, [commit], signature), 'it is [chains, entries, signatures]'],
    ['entries a map', of([chain], {}, signature), 'it is [chains, entries, signatures]'],
    ['signatures an array', of([chain], [commit], [signature]), 'signatures are one byte string'],
    ['signatures as text', of([chain], [commit], toHex(signature)), 'signatures are one byte string'],
    ['a chain without an entry', of([chain, [deviceOf('phone').public, nonce, 0, ZERO_ID]], [commit], signature), 'each chain that is listed occurs'], // prettier-ignore
    ['a chain and no entries', of([chain], [], new Uint8Array(0)), 'each chain that is listed occurs'],
    ['a chain of three', of([chain.slice(0, 3)], [commit], signature), 'a chain is [device, nonce, seq, id]'],
    ['a chain of five', of([[...chain, 0]], [commit], signature), 'a chain is [device, nonce, seq, id]'],
    ['a device of 31 bytes', of([[device.subarray(1), nonce, 0, ZERO_ID]], [commit], signature), 'a device key has 32 bytes'], // prettier-ignore
    ['a device as text', of([[toHex(device), nonce, 0, ZERO_ID]], [commit], signature), 'a device key is bytes'],
    ['a nonce of 7 bytes', of([[device, nonce.subarray(1), 0, ZERO_ID]], [commit], signature), 'a nonce has 8 bytes'],
    ['a seq below 0', of([[device, nonce, -1, ZERO_ID]], [commit], signature), 'a seq is a count'],
    ['half a seq', of([[device, nonce, 0.5, ZERO_ID]], [commit], signature), 'a seq is a count'],
    ['an id of 16 bytes', of([[device, nonce, 0, ZERO_ID.subarray(16)]], [commit], signature), 'a commit id has 32 bytes'], // prettier-ignore
    ['an entry of one', of([chain], [[0]], signature), 'an entry has two or three elements'],
    ['an entry of four', of([chain], [[0, 1, hash, 0]], signature), 'an entry has two or three elements'],
    ['an entry that is bytes', of([chain], [body], signature), 'an entry is an array'],
    ['an entry of a chain that is not listed', of([chain], [[1, body]], signature), 'chain is an index into chains'],
    ['an entry of chain -1', of([chain], [[-1, body]], signature), 'chain is an index into chains'],
    ['an entry of a chain as text', of([chain], [['0', body]], signature), 'chain is an index into chains'],
    ['a body as an array', of([chain], [[0, [0, [], []]]], signature), 'a body is a byte string'],
    ['an erased commit with 16 bytes', of([chain], [[0, hex('930090'), hash.subarray(16)]], signature), 'a hash has 32 bytes'], // prettier-ignore
    ['an erased commit with a text', of([chain], [[0, '', hash]], signature), 'a stem is bytes, and a seq a number'],
    ['a gap to 0', of([chain], [[0, 0, hash]], new Uint8Array(0)), 'a seq is from 1'],
    ['a gap to 1.5', of([chain], [[0, 1.5, hash]], new Uint8Array(0)), 'a seq is an integer'],
    ['a signature for a gap', of([chain], [[0, 3, hash]], signature), 'a gap has no signature'],
    ['no signatures', of([chain], [commit], new Uint8Array(0)), '64 bytes for each commit'],
    ['63 bytes of signatures', of([chain], [commit], signature.subarray(1)), '64 bytes for each commit'],
    [
      'a signature too many',
      of([chain], [commit], concat(signature, signature)),
      '64 bytes for each commit, and no more',
    ],
    ['nested deeper than 4 levels', of([chain], [[0, [[[]]]]], signature), 'a batch has at most 4 levels'],
    ['an extension', 'd40100', 'no extension types'],
    ['4,097 entries', many(4097, 4097), 'a batch has at most 4,096 entries', 'batch-too-large'],
    ['2,097,153 bytes', [['00', 2_097_153]], 'a batch has at most 2,097,152 bytes, unpacked', 'batch-too-large'], // prettier-ignore
  ];
  const five = '939090c400';
  const raw5 = block('raw', 5, true) + five;
  const packings: [name: string, codec: number, rawBytes: number, data: string | Pieces, why: string, code?: string][] =
    [
      // prettier-ignore
      ['none: rawBytes less', 0, 4, five, 'with codec 0 both sizes are equal'],
      ['none: rawBytes more', 0, 6, five, 'with codec 0 both sizes are equal'],
      ['none: past 2 MiB', 0, 2_097_153, [['00', 2_097_153]], 'rawBytes is at most 2,097,152', 'batch-too-large'],
      ['zstd: past 2 MiB', 1, 2_097_153, `${single(2_097_153, 4)}${block('rle', 131_072, true)}00`, 'rawBytes is at most 2,097,152', 'batch-too-large'], // prettier-ignore
      ['zstd: empty', 1, 5, '', 'it is a zstd frame'],
      ['zstd: not packed at all', 1, 5, five, 'it is a zstd frame'],
      ['zstd: another magic number', 1, 5, `29${(single(5, 1) + raw5).slice(2)}`, 'it is a zstd frame'],
      ['zstd: a skippable frame before', 1, 5, `502a4d1800000000${single(5, 1)}${raw5}`, 'exactly one frame'],
      ['zstd: a skippable frame behind', 1, 5, `${single(5, 1)}${raw5}502a4d1800000000`, 'nothing after the frame'],
      ['zstd: two frames', 1, 5, (single(5, 1) + raw5).repeat(2), 'exactly one frame'],
      ['zstd: a byte behind', 1, 5, `${single(5, 1)}${raw5}00`, 'nothing after the frame'],
      ['zstd: header cut off', 1, 5, single(5, 8).slice(0, -6), 'it is cut off'],
      ['zstd: block header cut off', 1, 5, `${single(5, 1)}2900`, 'it is cut off'],
      ['zstd: block cut off', 1, 5, (single(5, 1) + raw5).slice(0, -2), 'it is cut off'],
      ['zstd: no last block', 1, 5, single(5, 1) + block('raw', 5, false) + five, 'it is cut off'],
      ['zstd: declares less than rawBytes', 1, 5, single(4, 1) + raw5, 'the size in the header is rawBytes'],
      ['zstd: declares more than rawBytes', 1, 5, single(6, 1) + raw5, 'the size in the header is rawBytes'],
      ['zstd: holds less than it declares', 1, 6, single(6, 1) + raw5, 'it unpacks to exactly rawBytes'],
      ['zstd: holds more than it declares', 1, 4, single(4, 1) + raw5, 'it unpacks to exactly rawBytes'],
      ['zstd: compressed, holds less than it declares', 1, 161, COMPRESSED.replace('20a0', '20a1'), 'it unpacks to exactly rawBytes'], // prettier-ignore
      ['zstd: compressed, holds more than it declares', 1, 159, COMPRESSED.replace('20a0', '209f'), 'it unpacks to exactly rawBytes'], // prettier-ignore
      ['zstd: compressed block with garbage', 1, 5, `${single(5, 1)}${block('compressed', 4, true)}ffffffff`, 'a block is as RFC 8878 has it'], // prettier-ignore
      ['zstd: declares no size', 1, 5, `${MAGIC}0000${raw5}`, 'the header declares the size'],
      ['zstd: needs a dictionary', 1, 5, `${MAGIC}210105${raw5}`, 'no dictionary'],
      ['zstd: has a checksum', 1, 5, `${MAGIC}2405${raw5}b9e8b6b0`, 'no checksum, not even a right one'],
      ['zstd: a reserved bit', 1, 5, `${MAGIC}2805${raw5}`, 'no reserved bit'],
      ['zstd: a window of 2.25 MiB', 1, 5, windowed(WINDOW_2_MIB + 1, 5, 4) + raw5, 'a window of at most 2 MiB'],
      ['zstd: the largest window', 1, 5, windowed(255, 5, 4) + raw5, 'a window of at most 2 MiB'],
      ['zstd: a block larger than 128 KiB', 1, 131_073, `${single(131_073, 4)}${block('rle', 131_073, true)}00`, 'no block is larger than 128 KiB'], // prettier-ignore
      ['zstd: a block larger than the window', 1, 1025, `${windowed(0, 1025, 2)}${block('rle', 1025, true)}00`, 'no block is larger than the window'], // prettier-ignore
      ['zstd: a reserved type of block', 1, 5, single(5, 1) + block('reserved', 5, true) + five, 'a block is as RFC 8878 has it'], // prettier-ignore
      ['zstd: a size past 2^53', 1, 5, `${MAGIC}e0ffffffffffffffff${raw5}`, 'the size in the header is rawBytes'],
    ];
  const skipping: Batch = { chains: [laptop.after(0)], entries: [laptop.entry(1), laptop.gap(2)] };
  const spans: [name: string, prev: number, last: number, batch: Batch][] = [
    ['a commit, and the cursor stays', 5, 5, laptop.batch(1, 1)],
    ['two commits for one position', 0, 1, laptop.batch(1, 2)],
    ['a gap takes a position too', 0, 1, skipping],
  ];
  return {
    batches: refused.map(([name, raw, why, code = 'bad-batch']) => ({ name, raw, code, why })),
    packed: packings.map(([name, codec, rawBytes, data, why, code = 'bad-batch']) => ({ name, codec, rawBytes, data, code, why })), // prettier-ignore
    spans: spans.map(([name, prev, last, batch]) => ({ name, prev, last, raw: batchHex(batch), code: 'bad-batch', why: 'each entry takes a position of the sender’s log' })), // prettier-ignore
  };
}

// ---- vectors and digests

function headsJson(heads: readonly ChainHead[]): object[] {
  return heads.map(({ chain, seq, id }) => ({ chain: toHex(chain), seq, id: toHex(id) }));
}

export function vectorsAndDigests(): object {
  const head = (name: string, seq: number): ChainHead => ({ chain: bytesOf(`chain ${name}`, 16), seq, id: bytesOf(`id ${name}`, 32) }); // prettier-ignore
  const low = { chain: hex('7f'.repeat(16)), seq: 3, id: bytesOf('id low', 32) };
  const high = { chain: hex('80'.repeat(16)), seq: 2 ** 53 - 1, id: bytesOf('id high', 32) };
  const cases: [name: string, heads: ChainHead[]][] = [
    ['of no chain', []],
    ['of one chain', [head('1', 1)]],
    ['of two chains', [low, high]],
    ['the same in the other order: chains are sorted, as unsigned bytes', [high, low]],
    ['seq past 2^32', [head('1', 2 ** 32 + 5)]],
    ['of five chains', ['1', '2', '3', '4', '5'].map((name, i) => head(name, i + 1))],
  ];
  return { digests: cases.map(([name, heads]) => ({ name, heads: headsJson(heads), digest: toHex(digest(crypto, heads)) })) }; // prettier-ignore
}

export function vectorsAndDigestsInvalid(): object {
  const heads = [
    { chain: hex('7f'.repeat(16)), seq: 3, id: bytesOf('id low', 32) },
    { chain: hex('80'.repeat(16)), seq: 2, id: bytesOf('id high', 32) },
  ];
  const [low, high] = heads as [ChainHead, ChainHead];
  const hashOf = (label: string, parts: readonly ChainHead[], seqBytes: (seq: number) => Uint8Array): string =>
    toHex(crypto.sha256(concat(new TextEncoder().encode(label), ...parts.flatMap(({ chain, seq, id }) => [chain, seqBytes(seq), id])))); // prettier-ignore
  const bigEndian = (seq: number): Uint8Array => littleEndian(BigInt(seq), 8).toReversed();
  const wrong: [name: string, digest: string, why: string][] = [
    ['not sorted', hashOf('tidelog/1 digest', [high, low], bigEndian), 'chains stand in ascending order'],
    ['without the label', hashOf('', heads, bigEndian), 'it begins with the label'],
    ['seq little-endian', hashOf('tidelog/1 digest', heads, (seq) => littleEndian(BigInt(seq), 8)), 'seq is u64 BE'],
    ['seq in four bytes', hashOf('tidelog/1 digest', heads, (seq) => bigEndian(seq).subarray(4)), 'seq is u64 BE'],
    ['with a chain at seq 0', hashOf('tidelog/1 digest', [{ chain: hex('00'.repeat(16)), seq: 0, id: ZERO_ID }, ...heads], bigEndian), 'only chains with at least one entry count'], // prettier-ignore
    ['another id', toHex(digest(crypto, [low, { ...high, id: low.id }])), 'the id at the head is part of it'],
  ];
  return {
    heads: headsJson(heads),
    digests: wrong.map(([name, digest, why]) => ({ name, digest, code: null, why })),
  };
}
