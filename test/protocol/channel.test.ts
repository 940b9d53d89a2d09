import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { nodeCrypto } from '../../client/platform/crypto-node.ts';
import { portableCrypto } from '../../client/platform/crypto-portable.ts';
import { concat, equal, fromHex, toHex, utf8 } from '../../protocol/bytes.ts';
import { Channel, type ChannelOptions } from '../../protocol/channel.ts';
import { FRAME_PAYLOAD_BYTES, LABEL, MESSAGE_BYTES_MAX, PROLOGUE } from '../../protocol/constants.ts';
import type { Crypto, KeyPair, RandomBytes } from '../../protocol/crypto.ts';
import { TidelogError } from '../../protocol/errors.ts';
import { Handshake, type Transport } from '../../protocol/noise.ts';

const crypto = nodeCrypto;
const code = (code: string): unknown => expect.objectContaining({ name: 'TidelogError', code });
const seed = (fill: number): Uint8Array => new Uint8Array(32).fill(fill);

/** Every side of these tests is made of one number, so that all bytes are the same in every run. */
const side = (fill: number, provider: Crypto = crypto) => ({
  crypto: provider,
  random: ((length) => new Uint8Array(length).fill(fill)) satisfies RandomBytes,
  deviceKeys: provider.ed25519KeyPair(seed(fill + 1)),
  noiseKeys: provider.x25519KeyPair(seed(fill + 2)),
});
const ALICE = side(10);
const BOB = side(20);

const initiator = (more: Partial<ChannelOptions> = {}): Channel => new Channel({ initiator: true, ...ALICE, ...more });
const responder = (more: Partial<ChannelOptions> = {}): Channel => new Channel({ initiator: false, ...BOB, ...more });

/** Hands over a copy and wipes it, as a transport does that uses its memory again. */
function deliver(to: Channel, bytes: Uint8Array): ReturnType<Channel['receive']> {
  const lent = new Uint8Array(bytes);
  try {
    return to.receive(lent);
  } finally {
    lent.fill(0xee);
  }
}

function connect(a: Channel, b: Channel): void {
  const first = a.start()!;
  expect(b.start()).toBeNull();
  const [second] = deliver(b, first).send;
  const [third] = deliver(a, second!).send;
  deliver(b, third!);
}

function connected(): [Channel, Channel] {
  const pair: [Channel, Channel] = [initiator(), responder()];
  connect(...pair);
  return pair;
}

function pass(from: Channel, to: Channel, message: Uint8Array): Uint8Array | undefined {
  let received: Uint8Array | undefined;
  for (const sealed of from.seal(message)) {
    expect(received).toBeUndefined();
    received = deliver(to, sealed).message;
  }
  return received;
}

/** An initiator that is free to break the rules: it has done Noise properly, and sends what it likes. */
class Rogue {
  readonly handshake: Handshake;
  readonly responder: Channel;
  readonly second: Uint8Array;
  transport: Transport | null = null;

  constructor(staticKeys: KeyPair = ALICE.noiseKeys) {
    const options = { crypto, initiator: true, prologue: utf8(PROLOGUE), staticKeys };
    this.handshake = new Handshake({ ...options, ephemeralKeys: crypto.x25519KeyPair(seed(99)) });
    this.responder = responder();
    this.second = this.responder.receive(this.handshake.write(new Uint8Array(0))).send[0]!;
    this.handshake.read(this.second);
  }

  bind(payload: Uint8Array): ReturnType<Channel['receive']> {
    return this.responder.receive(this.handshake.write(payload));
  }

  bound(): this {
    this.bind(binding(ALICE.deviceKeys, ALICE.noiseKeys.public));
    this.transport = this.handshake.split();
    return this;
  }

  send(frame: Uint8Array): ReturnType<Channel['receive']> {
    return this.responder.receive(this.transport!.send.encrypt(frame));
  }
}

const binding = (device: KeyPair, staticKey: Uint8Array, label: string = LABEL.NOISE): Uint8Array =>
  concat(device.public, crypto.ed25519Sign(device, concat(utf8(label), staticKey)));

function expectClosed(channel: Channel): void {
  expect(channel.established).toBe(false);
  expect(() => channel.receive(new Uint8Array(32))).toThrow(code('closed'));
  expect(() => channel.seal(new Uint8Array(1))).toThrow(code('closed'));
  expect(() => channel.start()).toThrow(code('closed'));
}

/** Golden, of the two sides above: a change here is a change of the protocol. */
const HANDSHAKE_HASH = '9c5ce2b20284cf07cc3a6fd46bad4d2fc5b293abf583f1a8883f5f4401971d98';
const FIRST_FRAME = 'f37364a745b08aac87939dc6222724a5e5df0a6da0';

describe('the handshake', () => {
  test('message by message', () => {
    const [a, b] = [initiator(), responder()];
    const first = a.start()!;
    expect(b.start()).toBeNull();
    expect(first.length).toBe(32);

    const second = deliver(b, first);
    expect(second).toEqual({ send: [expect.any(Uint8Array)] });
    expect(second.send[0]!.length).toBe(32 + 48 + 96 + 16);
    expect(b.established).toBe(false);

    const third = deliver(a, second.send[0]!);
    expect(third).toEqual({ send: [expect.any(Uint8Array)], established: true });
    expect(third.send[0]!.length).toBe(48 + 96 + 16);

    expect(deliver(b, third.send[0]!)).toEqual({ send: [], established: true });
    expect([a.established, b.established]).toEqual([true, true]);
    expect(a.remoteDevice).toEqual(BOB.deviceKeys.public);
    expect(b.remoteDevice).toEqual(ALICE.deviceKeys.public);
    expect(a.handshakeHash).toEqual(b.handshakeHash);
    expect(toHex(a.handshakeHash)).toBe(HANDSHAKE_HASH);
    expect(toHex(a.seal(utf8('tide'))[0]!)).toBe(FIRST_FRAME);
  });

  test('nothing is known of the other side before its end', () => {
    for (const channel of [initiator(), responder()]) {
      expect(() => channel.remoteDevice).toThrow(code('internal'));
      expect(() => channel.handshakeHash).toThrow(code('internal'));
      expect(() => channel.seal(new Uint8Array(1))).toThrow(code('internal'));
    }
  });

  test('two channels of the same devices have different hashes', () => {
    const [a] = connected();
    const [c, d] = [initiator({ random: (length) => new Uint8Array(length).fill(77) }), responder()];
    connect(c, d);
    expect(c.handshakeHash).not.toEqual(a.handshakeHash);
  });

  test('an initiator that expects another device does not tell this one who it is', () => {
    const [a, b] = [initiator({ expectedDevices: [ALICE.deviceKeys.public] }), responder()];
    const [second] = b.receive(a.start()!).send;
    expect(() => a.receive(second!)).toThrow(code('wrong-device'));
    expectClosed(a);
    connect(
      initiator({ expectedDevices: [BOB.deviceKeys.public] }),
      responder({ expectedDevices: [ALICE.deviceKeys.public] }),
    );
  });

  test('a first message with a payload is refused', () => {
    const options = { crypto, initiator: true, prologue: utf8(PROLOGUE), staticKeys: ALICE.noiseKeys };
    const handshake = new Handshake({ ...options, ephemeralKeys: crypto.x25519KeyPair(seed(99)) });
    const b = responder();
    expect(() => b.receive(handshake.write(utf8('early')))).toThrow(code('bad-handshake'));
    expectClosed(b);
  });

  test('another prologue is refused', () => {
    const options = { crypto, initiator: true, prologue: utf8('tidelog/2'), staticKeys: ALICE.noiseKeys };
    const handshake = new Handshake({ ...options, ephemeralKeys: crypto.x25519KeyPair(seed(99)) });
    const [second] = responder().receive(handshake.write(new Uint8Array(0))).send;
    expect(() => handshake.read(second!)).toThrow(code('bad-handshake'));
  });

  const smallOrderKey = fromHex('c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa')!;
  const good = binding(ALICE.deviceKeys, ALICE.noiseKeys.public);
  test.each([
    ['nothing', new Uint8Array(0)],
    ['too little', good.subarray(0, 95)],
    ['too much', concat(good, Uint8Array.of(0))],
    ['the binding of another Noise key', binding(ALICE.deviceKeys, BOB.noiseKeys.public)],
    ['another label', binding(ALICE.deviceKeys, ALICE.noiseKeys.public, LABEL.PAIR)],
    ["someone else's device key", concat(BOB.deviceKeys.public, good.subarray(32))],
    // S = 0 and R = A: a signature of anything, to a library that isn't strict.
    ['a device key of small order', concat(smallOrderKey, smallOrderKey, new Uint8Array(32))],
  ])('a payload that proves no device is refused: %s', (_, payload) => {
    const rogue = new Rogue();
    expect(() => rogue.bind(payload)).toThrow(code('bad-handshake'));
    expectClosed(rogue.responder);
  });

  test('one side cannot give itself back to the other', () => {
    const rogue = new Rogue();
    // The responder's own second message, sent back to it.
    expect(() => rogue.responder.receive(rogue.second)).toThrow(code('bad-handshake'));
  });

  test('keys that hide nothing are refused', () => {
    const b = responder();
    expect(() => b.receive(new Uint8Array(32))).toThrow(code('bad-handshake'));
    expectClosed(b);
  });

  test('a flipped bit in any byte of any handshake message ends it', () => {
    const run = (step: number, at: number): boolean => {
      const flip = (bytes: Uint8Array, mine: number): Uint8Array =>
        bytes.map((byte, i) => (mine === step && i === at ? byte ^ 0x04 : byte));
      const [a, b] = [initiator(), responder()];
      const [second] = b.receive(flip(a.start()!, 1)).send;
      const [third] = a.receive(flip(second!, 2)).send;
      return b.receive(flip(third!, 3)).established === true;
    };
    expect(run(0, 0)).toBe(true);
    for (const [step, length] of [
      [1, 32],
      [2, 192],
      [3, 160],
    ] as const) {
      for (let at = 0; at < length; at += 5) {
        expect(() => run(step, at), `byte ${at} of message ${step}`).toThrow(code('bad-handshake'));
      }
    }
  });
});

describe('messages', () => {
  test.each([0, 1, FRAME_PAYLOAD_BYTES, FRAME_PAYLOAD_BYTES + 1, MESSAGE_BYTES_MAX])(
    'of %i bytes pass both ways',
    (length) => {
      const [a, b] = connected();
      const message = new Uint8Array(length).map((_, i) => i * 31);
      for (const [from, to] of [
        [a, b],
        [b, a],
        [a, b],
      ] as const)
        expect(equal(pass(from, to, message)!, message)).toBe(true);
    },
  );

  test('one that is too large is refused before anything is encrypted, and the channel goes on', () => {
    const [a, b] = connected();
    expect(() => a.seal(new Uint8Array(MESSAGE_BYTES_MAX + 1))).toThrow(code('message-too-large'));
    expect(pass(a, b, utf8('still here'))).toEqual(utf8('still here'));
  });

  test('any sizes pass, in any order and both directions', () => {
    const [a, b] = connected();
    const size = fc.oneof(fc.nat(300), fc.nat(3 * FRAME_PAYLOAD_BYTES), fc.nat(MESSAGE_BYTES_MAX));
    fc.assert(
      fc.property(size, fc.nat(255), fc.boolean(), (length, fill, fromA) => {
        const message = new Uint8Array(length).fill(fill);
        return equal((fromA ? pass(a, b, message) : pass(b, a, message))!, message);
      }),
      { numRuns: 40 },
    );
  });

  test('repeated, left out, altered, reflected: each ends the channel', () => {
    const attacks: ((sealed: Uint8Array[], b: Channel) => void)[] = [
      ([first], b) => void (b.receive(first!), b.receive(first!)),
      ([, second], b) => void b.receive(second!),
      ([first], b) => void b.receive(first!.map((byte, i) => (i === 2 ? byte ^ 1 : byte))),
      ([first], b) => void b.receive(first!.subarray(1)),
      (_, b) => void b.receive(b.seal(utf8('mine'))[0]!),
      (_, b) => void b.receive(new Uint8Array(0)),
      (_, b) => void b.receive(new Uint8Array(70_000)),
    ];
    for (const attack of attacks) {
      const [a, b] = connected();
      const sealed = [...a.seal(utf8('one')), ...a.seal(utf8('two'))];
      expect(() => attack(sealed, b)).toThrow(code('bad-frame'));
      expectClosed(b);
      // Whom one was talking to can still be logged.
      expect(b.remoteDevice).toEqual(ALICE.deviceKeys.public);
    }
  });

  test('a sender of endless frames is stopped at the limit', () => {
    const rogue = new Rogue().bound();
    const frame = new Uint8Array(1 + FRAME_PAYLOAD_BYTES).fill(1);
    for (let sent = FRAME_PAYLOAD_BYTES; sent <= MESSAGE_BYTES_MAX; sent += FRAME_PAYLOAD_BYTES) {
      expect(rogue.send(frame)).toEqual({ send: [] });
    }
    expect(() => rogue.send(frame)).toThrow(code('message-too-large'));
    expectClosed(rogue.responder);
  });

  test.each([
    ['an unknown flag', Uint8Array.of(2, 1)],
    ['no flag', new Uint8Array(0)],
    ['an empty frame that promises more', Uint8Array.of(1)],
  ])('%s ends the channel', (_, frame) => {
    const rogue = new Rogue().bound();
    expect(() => rogue.send(frame)).toThrow(code('bad-frame'));
    expectClosed(rogue.responder);
  });

  test('after close nothing comes or goes', () => {
    const [a] = connected();
    a.close();
    expectClosed(a);
  });
});

test('a fault of a provider comes out as a TidelogError', () => {
  const broken: Crypto = {
    ...crypto,
    x25519: () => {
      throw new RangeError('broken');
    },
  };
  const b = responder({ crypto: broken });
  expect(() => b.receive(initiator().start()!)).toThrow(code('internal'));
  expectClosed(b);
});

test('any bytes in any state give a value or a TidelogError, and the channel closes with the error', () => {
  const states: (() => Channel)[] = [
    initiator,
    responder,
    () => {
      const a = initiator();
      a.start();
      return a;
    },
    () => {
      const b = responder();
      b.receive(initiator().start()!);
      return b;
    },
    () => connected()[0],
    () => connected()[1],
    () => {
      const [, b] = connected();
      b.close();
      return b;
    },
  ];
  const lengths = fc.constantFrom(0, 15, 16, 31, 32, 48, 96, 160, 192, 65_535, 65_536);
  const exact = fc.tuple(lengths, fc.nat(255)).map(([length, fill]) => new Uint8Array(length).fill(fill));
  const inputs = fc.array(fc.oneof(exact, fc.uint8Array({ maxLength: 300 })), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(fc.constantFrom(...states), inputs, (make, messages) => {
      const channel = make();
      for (const bytes of messages) {
        try {
          channel.receive(bytes);
        } catch (error) {
          if (!(error instanceof TidelogError) || error.code === 'internal' || channel.established) return false;
        }
      }
      return !channel.established;
    }),
    { numRuns: 300 },
  );
});

test.each([
  { mine: nodeCrypto, theirs: portableCrypto },
  { mine: portableCrypto, theirs: nodeCrypto },
  { mine: portableCrypto, theirs: portableCrypto },
])('$mine.name speaks with $theirs.name', ({ mine, theirs }) => {
  const [a, b] = [initiator(side(10, mine)), responder(side(20, theirs))];
  connect(a, b);
  expect(toHex(a.handshakeHash)).toBe(HANDSHAKE_HASH);
  expect(b.handshakeHash).toEqual(a.handshakeHash);
  const message = new Uint8Array(2 * FRAME_PAYLOAD_BYTES + 5).map((_, i) => i * 7);
  expect(equal(pass(a, b, message)!, message)).toBe(true);
  expect(equal(pass(b, a, message)!, message)).toBe(true);
});
