/** How two devices meet: the handshake, frames, and pairing. */
import { concat, toBase64Url, toHex, utf8 } from '../../protocol/bytes.ts';
import { Handshake } from '../../protocol/noise.ts';
import { encode } from '../../protocol/msgpack.ts';
import { encodePairLink, pairDigits, pairProof, syncUrl, type PairInvite } from '../../protocol/pair-link.ts';
import { bytesOf, counting, crypto, deviceOf, flip, hex, seedOf, SPACE, type Pieces } from './world.ts';

interface Side {
  readonly seed: Uint8Array;
  readonly static: Uint8Array;
  readonly ephemeral: Uint8Array;
}
const EXAMPLE = {
  initiator: { seed: seedOf('laptop'), static: counting(0x10, 32), ephemeral: counting(0x30, 32) },
  responder: { seed: seedOf('phone'), static: counting(0x50, 32), ephemeral: counting(0x70, 32) },
};
const OTHER = {
  initiator: { seed: seedOf('tablet'), static: bytesOf('static 1', 32), ephemeral: bytesOf('ephemeral 1', 32) },
  responder: { seed: seedOf('phone'), static: bytesOf('static 2', 32), ephemeral: bytesOf('ephemeral 2', 32) },
};
type Sides = typeof EXAMPLE;

function binding(seed: Uint8Array, noisePublic: Uint8Array): Uint8Array {
  const keys = crypto.ed25519KeyPair(seed);
  return concat(keys.public, crypto.ed25519Sign(keys, concat(utf8('tidelog/1 noise'), noisePublic)));
}

function handshake(sides: Sides, role: 'initiator' | 'responder', prologue = 'tidelog/1'): Handshake {
  const side: Side = sides[role];
  return new Handshake({
    crypto,
    initiator: role === 'initiator',
    prologue: utf8(prologue),
    staticKeys: crypto.x25519KeyPair(side.static),
    ephemeralKeys: crypto.x25519KeyPair(side.ephemeral),
  });
}

function bindingOf(side: Side): Uint8Array {
  return binding(side.seed, crypto.x25519KeyPair(side.static).public);
}

/** The three messages, with these payloads. */
function shake(
  sides: Sides,
  {
    first = new Uint8Array(0),
    second = bindingOf(sides.responder),
    third = bindingOf(sides.initiator),
    prologue = 'tidelog/1',
  } = {},
) {
  // prettier-ignore
  const [initiator, responder] = [handshake(sides, 'initiator', prologue), handshake(sides, 'responder', prologue)];
  const one = initiator.write(first);
  responder.read(one);
  const two = responder.write(second);
  initiator.read(two);
  const three = initiator.write(third);
  responder.read(three);
  return { messages: [one, two, three] as const, initiator: initiator.split(), responder: responder.split() };
}

const FRAMES: readonly [from: 'initiator' | 'responder', plain: string, message: string | null][] = [
  ['initiator', '0093029000', '93029000'],
  ['responder', '0093029000', '93029000'],
  ['initiator', '0192', null],
  ['initiator', '010d', null],
  ['initiator', '0001', '920d01'],
  ['responder', '01920d', null],
  ['responder', '0002', '920d02'],
  ['initiator', '00', ''],
];

export function noise(): object {
  const transcript = (name: string, sides: Sides): object => {
    const { messages, initiator, responder } = shake(sides);
    const sideJson = (side: Side): object => ({
      seed: toHex(side.seed),
      device: toHex(crypto.ed25519KeyPair(side.seed).public),
      static: toHex(side.static),
      staticPublic: toHex(crypto.x25519KeyPair(side.static).public),
      ephemeral: toHex(side.ephemeral),
      ephemeralPublic: toHex(crypto.x25519KeyPair(side.ephemeral).public),
      binding: toHex(bindingOf(side)),
    });
    return {
      name,
      prologue: toHex(utf8('tidelog/1')),
      initiator: sideJson(sides.initiator),
      responder: sideJson(sides.responder),
      messages: messages.map(toHex),
      handshakeHash: toHex(initiator.handshakeHash),
      digits: pairDigits(crypto, initiator.handshakeHash),
      frames: FRAMES.map(([from, plain, message]) => ({
        from,
        plain,
        sealed: toHex((from === 'initiator' ? initiator : responder).send.encrypt(hex(plain))),
        message,
      })),
    };
  };
  const full = 65_518;
  return {
    transcripts: [transcript('of PROTOCOL.md', EXAMPLE), transcript('another', OTHER)],
    frames: [
      { name: 'a message in one frame', frames: [['00010203']], message: '010203' },
      { name: 'an empty message', frames: [['00']], message: '' },
      { name: 'any division is legal', frames: [['0101'], ['01020304'], ['00']], message: '01020304' },
      { name: 'the largest frame', frames: [['00', ['61', full]]], message: [['61', full]] },
      { name: 'two frames', frames: [['01', ['61', full]], ['0062']], message: [['61', full], '62'] },
      { name: 'the largest message', frames: [...Array.from({ length: 64 }, () => ['01', ['61', full]]), ['00', ['61', 4_194_304 - 64 * full]]], message: [['61', 4_194_304]] }, // prettier-ignore
    ],
  };
}

export function noiseInvalid(): object {
  const sides = EXAMPLE;
  const { messages: [one, two, three], initiator } = shake(sides); // prettier-ignore
  const low = new Uint8Array(32);
  const responder: [name: string, received: Uint8Array[], why: string][] = [
    ['message 1: empty', [new Uint8Array(0)], 'it is 32 bytes'],
    ['message 1: 31 bytes', [one.subarray(1)], 'it is 32 bytes'],
    ['message 1: with a payload', [concat(one, Uint8Array.of(1))], 'a responder refuses any payload there'],
    ['message 1: a key of zeros', [low], 'the shared secret is all zeros'],
    ['message 1: a key of order 8', [hex('e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800')], 'the shared secret is all zeros'], // prettier-ignore
    ['message 3: static key altered', [one, flip(three, 0)], 'it does not decrypt'],
    ['message 3: tag of the static key altered', [one, flip(three, 47)], 'it does not decrypt'],
    ['message 3: binding altered', [one, flip(three, 48)], 'it does not decrypt'],
    ['message 3: last byte altered', [one, flip(three, 159)], 'it does not decrypt'],
    ['message 3: cut off', [one, three.subarray(0, 159)], 'it does not decrypt'],
    ['message 3: a byte more', [one, concat(three, Uint8Array.of(0))], 'it does not decrypt'],
    ['message 3: empty', [one, new Uint8Array(0)], 'it is cut off'],
    ['message 3: of another handshake', [one, shake(OTHER).messages[2]], 'it does not decrypt'],
    ['message 3: message 1 again', [one, one], 'it is cut off'],
    ['message 3: no binding', [one, shake(sides, { third: new Uint8Array(0) }).messages[2]], 'a binding has 96 bytes'],
    ['message 3: the responder’s binding', [one, shake(sides, { third: bindingOf(sides.responder) }).messages[2]], 'it is for another static key'], // prettier-ignore
    ['message 3: a binding of another static key', [one, shake(sides, { third: bindingOf({ ...sides.initiator, static: bytesOf('static 3', 32) }) }).messages[2]], 'it is for another static key'], // prettier-ignore
    ['message 3: a binding with an altered signature', [one, shake(sides, { third: flip(bindingOf(sides.initiator), 40) }).messages[2]], 'its signature does not verify'], // prettier-ignore
    ['message 3: a binding of a key of small order', [one, shake(sides, { third: concat(low, bindingOf(sides.initiator).subarray(32)) }).messages[2]], 'the device key is not acceptable'], // prettier-ignore
    ['another prologue', [one, shake(sides, { prologue: 'tidelog/2' }).messages[2]], 'both sides mix in another hash'],
  ];
  const atInitiator: [name: string, message: Uint8Array, why: string, code?: string, expected?: Uint8Array][] = [
    ['message 2: ephemeral key altered', flip(two, 0), 'it does not decrypt'],
    ['message 2: ephemeral key of zeros', concat(low, two.subarray(32)), 'the shared secret is all zeros'],
    ['message 2: static key altered', flip(two, 32), 'it does not decrypt'],
    ['message 2: binding altered', flip(two, 80), 'it does not decrypt'],
    ['message 2: last byte altered', flip(two, 191), 'it does not decrypt'],
    ['message 2: cut off', two.subarray(0, 191), 'it does not decrypt'],
    ['message 2: cut off after the keys', two.subarray(0, 80), 'it is cut off'],
    ['message 2: empty', new Uint8Array(0), 'it is cut off'],
    ['message 2: of another handshake', shake(OTHER).messages[1], 'it does not decrypt'],
    ['message 2: no binding', shake(sides, { second: new Uint8Array(0) }).messages[1], 'a binding has 96 bytes'],
    ['message 2: a binding of another static key', shake(sides, { second: bindingOf({ ...sides.responder, static: bytesOf('static 3', 32) }) }).messages[1], 'it is for another static key'], // prettier-ignore
    ['message 2: another device than expected', two, 'the initiator expects one device, and closes before it says who it is', 'wrong-device', deviceOf('tablet').public], // prettier-ignore
  ];
  const seal = (...frames: string[]): string[] => {
    const { initiator } = shake(sides);
    return frames.map((frame) => toHex(initiator.send.encrypt(hex(frame))));
  };
  const [first, second] = seal('0093029000', '00920d01') as [string, string];
  const sealed: [name: string, frames: string[], why: string][] = [
    ['altered', [toHex(flip(hex(first), 0))], 'it does not decrypt'],
    ['tag altered', [toHex(flip(hex(first), hex(first).length - 1))], 'it does not decrypt'],
    ['cut off', [first.slice(0, -2)], 'it does not decrypt'],
    ['empty', [''], 'a Noise message has 16 bytes or more'],
    ['15 bytes', [first.slice(0, 30)], 'a Noise message has 16 bytes or more'],
    ['replayed', [first, first], 'the nonce has gone on'],
    ['out of order', [second], 'the nonce is 0'],
    ['one left out', [first, seal('00', '00', '00')[2]!], 'the nonce is 1'],
    ['sent back to its sender’s key', [toHex(initiator.receive.encrypt(hex('0093029000')))], 'each direction has its own key'], // prettier-ignore
    ['in clear', ['0093029000'.padEnd(42, '0')], 'it does not decrypt'],
    ['a flag of 2', seal('0293029000'), 'the flag is 0 or 1'],
    ['a flag of ff', seal('ff'), 'the flag is 0 or 1'],
    ['an empty frame', seal(''), 'it has a flag'],
    ['an empty payload with more to follow', seal('01'), 'it would keep a receiver busy for nothing'],
  ];
  const payload = 65_518;
  const tooLarge: Pieces[] = [...Array.from({ length: 64 }, (): Pieces => ['01', ['61', payload]]), ['00', ['61', 4_194_305 - 64 * payload]]]; // prettier-ignore
  return {
    transcript: 'the first of noise.json',
    handshakes: [
      ...responder.map(([name, received, why]) => ({ name, at: 'responder', received: received.map(toHex), expectedDevice: null, code: 'bad-handshake', why })), // prettier-ignore
      ...atInitiator.map(([name, message, why, code = 'bad-handshake', expected = null]) => ({
        name,
        at: 'initiator',
        received: [toHex(message)],
        expectedDevice: expected && toHex(expected),
        code,
        why,
      })),
    ],
    sealed: sealed.map(([name, frames, why]) => ({ name, at: 'responder', frames, code: 'bad-frame', why })),
    frames: [
      { name: 'empty', frames: [[]], code: 'bad-frame', why: 'it has a flag' },
      { name: 'a flag of 2', frames: [['0261']], code: 'bad-frame', why: 'the flag is 0 or 1' },
      { name: 'an empty payload with more to follow', frames: [['0161'], ['01']], code: 'bad-frame', why: 'it would keep a receiver busy for nothing' }, // prettier-ignore
      { name: 'a message of 4,194,305 bytes', frames: tooLarge, code: 'message-too-large', why: 'the frame that would pass the limit is refused' }, // prettier-ignore
    ],
  };
}

// ---- pairing

const INVITE: PairInvite = {
  device: deviceOf('laptop').public,
  addresses: ['http://192.168.1.20:7600'],
  space: SPACE,
  spaceName: 'home',
  role: 'writer',
  id: counting(0xd0, 8),
  secret: counting(0xe0, 16),
  expiresMs: 1_767_226_200_000,
};
const EXPIRES_MS = INVITE.expiresMs;

function inviteJson({ device, addresses, space, spaceName, role, id, secret, expiresMs }: PairInvite): object {
  return { device: toHex(device), addresses, space: toHex(space), spaceName, role, id: toHex(id), secret: toHex(secret), expiresMs }; // prettier-ignore
}

export function pairing(): object {
  const many: PairInvite = {
    ...INVITE,
    addresses: ['https://[fe80::1]:7600', 'http://laptop.local', 'http://10.0.0.1:80'],
    spaceName: 'Küche',
    role: 'mirror',
    expiresMs: 0,
  };
  const link = encodePairLink(crypto, INVITE);
  const other = `http://10.0.0.5:7600${link.slice(link.indexOf('/#'))}`;
  const linkOf = (name: string, written: string, invite: PairInvite): object => ({ name, link: written, invite: inviteJson(invite) }); // prettier-ignore
  const hash = shake(EXAMPLE).initiator.handshakeHash;
  const joiner = deviceOf('phone').public;
  const digits = ['1', '2', '3', '4'].map((name) => bytesOf(`handshake ${name}`, 32));
  return {
    links: [
      linkOf('of PROTOCOL.md', link, INVITE),
      linkOf('several addresses', encodePairLink(crypto, many), many),
      linkOf('a space without a name', encodePairLink(crypto, { ...INVITE, spaceName: '' }), { ...INVITE, spaceName: '' }), // prettier-ignore
      linkOf('white space around and in it', `  ${link.slice(0, 60)}\n ${link.slice(60)}\n`, INVITE),
      linkOf('angle brackets', `<${link}>`, INVITE),
      linkOf('another address in front is tried first', other, { ...INVITE, addresses: ['http://10.0.0.5:7600', ...INVITE.addresses] }), // prettier-ignore
      linkOf('the address in upper case', link.replace('http://', 'HTTP://'), INVITE),
    ],
    proofs: [
      { name: 'of PROTOCOL.md', secret: toHex(INVITE.secret), handshakeHash: toHex(hash), joiner: toHex(joiner), proof: toHex(pairProof(crypto, INVITE.secret, hash, joiner)) }, // prettier-ignore
      { name: 'another', secret: toHex(bytesOf('secret', 16)), handshakeHash: toHex(digits[0]!), joiner: toHex(joiner), proof: toHex(pairProof(crypto, bytesOf('secret', 16), digits[0]!, joiner)) }, // prettier-ignore
    ],
    digits: [hash, ...digits].map((each) => ({ handshakeHash: toHex(each), digits: pairDigits(crypto, each) })),
    syncUrls: ['http://192.168.1.20:7600', 'https://[fe80::1]:7600/', 'http://laptop.local/#pair=abc'].map((base) => ({ base, url: syncUrl(base) })), // prettier-ignore
  };
}

export function pairingInvalid(): object {
  const link = encodePairLink(crypto, INVITE);
  const [front, code] = link.split('#pair=') as [string, string];
  const { device, addresses, space, role, id, secret, expiresMs, spaceName } = INVITE;
  const fields = [device, addresses, space, role, id, secret, expiresMs, spaceName];
  const made = (version: number, packed: Uint8Array): string => {
    const versioned = concat(Uint8Array.of(version), packed);
    return `${front}#pair=${toBase64Url(concat(versioned, crypto.sha256(versioned).subarray(0, 4)))}`;
  };
  const withField = (at: number, value: unknown): string => made(1, encode((fields as unknown[]).with(at, value)));
  const links: [name: string, link: string, why: string][] = [
    ['empty', '', 'it begins with http'],
    ['some text', 'hello', 'it begins with http'],
    ['without the fragment', front, 'it has #pair='],
    ['without an address', `#pair=${code}`, 'it begins with an address'],
    ['an ftp address', `ftp://192.168.1.20/#pair=${code}`, 'it begins with http or https'],
    ['port 0', `http://192.168.1.20:0/#pair=${code}`, 'it begins with an address'],
    ['port 65536', `http://192.168.1.20:65536/#pair=${code}`, 'it begins with an address'],
    ['the last character lost', link.slice(0, -1), 'the checksum differs'],
    ['half of it', link.slice(0, 150), 'the checksum differs'],
    ['nothing after #pair=', `${front}#pair=`, 'it is cut short'],
    ['a character altered', `${front}#pair=${code.slice(0, 40)}${code[40] === 'A' ? 'B' : 'A'}${code.slice(41)}`, 'the checksum differs'], // prettier-ignore
    ['a character of ordinary base64', `${front}#pair=${code.slice(0, 40)}+${code.slice(41)}`, '+ is not in the alphabet of URLs'], // prettier-ignore
    ['padding', `${link}=`, 'there is no padding'],
    ['version 2', made(2, encode(fields)), 'this is version 1'],
    ['version 0', made(0, encode(fields)), 'this is version 1'],
    ['seven fields', made(1, encode(fields.slice(0, 7))), 'there are exactly eight fields'],
    ['nine fields', made(1, encode([...fields, 0])), 'there are exactly eight fields'],
    ['a map', made(1, encode({ device })), 'there are exactly eight fields'],
    ['bytes after the fields', made(1, concat(encode(fields), Uint8Array.of(0))), 'one value, and nothing after it'],
    ['a device of 31 bytes', withField(0, device.subarray(1)), 'a device key has 32 bytes'],
    ['a device of small order', withField(0, new Uint8Array(32)), 'the device key is not acceptable'],
    ['no addresses', withField(1, []), '1 to 16 addresses'],
    [
      '17 addresses',
      withField(
        1,
        Array.from({ length: 17 }, (_, i) => `http://a${i}`),
      ),
      '1 to 16 addresses',
    ],
    ['an address in upper case', withField(1, ['http://LAPTOP']), 'origins are in lower case'],
    ['an address with a path', withField(1, ['http://laptop/']), 'an origin has no path'],
    ['an address that is ws', withField(1, ['ws://laptop']), 'origins are http or https'],
    ['an address that is a number', withField(1, [7600]), 'origins are text'],
    ['an address of 301 characters', withField(1, [`http://${'a'.repeat(294)}`]), 'at most 300 characters'],
    ['a space of 31 bytes', withField(2, space.subarray(1)), 'a space id has 32 bytes'],
    ['an unknown role', withField(3, 'admin'), 'there are four roles'],
    ['an invite id of 7 bytes', withField(4, id.subarray(1)), 'an invite id has 8 bytes'],
    ['a secret of 15 bytes', withField(5, secret.subarray(1)), 'a secret has 16 bytes'],
    ['an expiry below 0', withField(6, -1), 'expiry is a count'],
    ['an expiry as text', withField(6, '0'), 'expiry is a count'],
    ['a name of 65 bytes', withField(7, 'x'.repeat(65)), 'a name has at most 64 bytes'],
    ['a name with a line break', withField(7, 'a\nb'), 'no control characters'],
    ['nested too deep', withField(1, [[['http://laptop']]]), 'the fields have at most 2 levels'],
  ];
  const hash = shake(EXAMPLE).initiator.handshakeHash;
  const joiner = deviceOf('phone').public;
  const good = pairProof(crypto, secret, hash, joiner);
  const wrong: [name: string, proof: Uint8Array, why: string][] = [
    ['altered', flip(good, 31), 'it is compared as a whole'],
    ['another secret', pairProof(crypto, bytesOf('secret', 16), hash, joiner), 'the secret is the key'],
    ['another connection', pairProof(crypto, secret, bytesOf('handshake', 32), joiner), 'it covers the handshake hash'],
    ['another joiner', pairProof(crypto, secret, hash, deviceOf('tablet').public), 'it covers the joiner’s device key'],
    ['zeros', new Uint8Array(32), 'a proof is wanted'],
  ];
  const invite = { id: toHex(id), secret: toHex(secret), expiresMs: EXPIRES_MS };
  interface Try { readonly id: string; readonly proof: string; readonly nowMs: number; readonly code: string | null } // prettier-ignore
  const attempt = (code: string | null, proof = good, nowMs = EXPIRES_MS - 1000, of = id): Try => ({ id: toHex(of), proof: toHex(proof), nowMs, code }); // prettier-ignore
  const bad = flip(good, 0);
  return {
    links: links.map(([name, link, why]) => ({ name, link, code: 'bad-link', why })),
    proofs: wrong.map(([name, proof, why]) => ({
      name,
      secret: toHex(secret),
      handshakeHash: toHex(hash),
      joiner: toHex(joiner),
      proof: toHex(proof),
      code: 'invite-wrong-secret',
      why,
    })),
    invites: {
      invite,
      handshakeHash: toHex(hash),
      joiner: toHex(joiner),
      cases: [
        { name: 'another id', why: 'no such invite was made', tries: [attempt('invite-unknown', good, undefined, bytesOf('id', 8))] }, // prettier-ignore
        { name: 'at its expiry and after it', why: 'it lives up to expiry', tries: [attempt('invite-expired', good, EXPIRES_MS + 1), attempt(null, good, EXPIRES_MS)] }, // prettier-ignore
        { name: 'again, with a proof that is not that of the device that used it', why: 'it works once', tries: [attempt(null), attempt('invite-used', bad)] }, // prettier-ignore
        { name: 'two wrong proofs, and the right one', why: 'three wrong ones make it dead', tries: [attempt('invite-wrong-secret', bad), attempt('invite-wrong-secret', bad), attempt(null)] }, // prettier-ignore
        { name: 'three wrong proofs, and the right one', why: 'three wrong ones make it dead', tries: [attempt('invite-wrong-secret', bad), attempt('invite-wrong-secret', bad), attempt('invite-wrong-secret', bad), attempt('invite-dead')] }, // prettier-ignore
      ],
    },
  };
}
