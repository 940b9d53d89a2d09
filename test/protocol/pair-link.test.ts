import { createHash, createHmac } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { concat, fromBase64Url, toBase64Url } from '../../protocol/bytes.ts';
import { ROLES } from '../../protocol/membership.ts';
import { encode } from '../../protocol/msgpack.ts';
import {
  decodePairLink,
  encodePairLink,
  pairDigits,
  pairProof,
  syncUrl,
  type PairInvite,
} from '../../protocol/pair-link.ts';
import { isName } from '../../protocol/value.ts';
import { bytes, bytesOf, crypto, deviceOf, hex, orRefused, refusal, withCode } from '../support/protocol.ts';

const invite: PairInvite = {
  device: deviceOf('laptop').public,
  addresses: ['http://192.168.1.20:7600', 'https://[fe80::1]:7600', 'http://laptop.local'],
  space: bytesOf('space', 32),
  spaceName: 'home',
  role: 'writer',
  id: bytesOf('id', 8),
  secret: bytesOf('secret', 16),
  expiresMs: 1_700_000_600_000,
};
const link = encodePairLink(crypto, invite);
const code = link.slice(link.indexOf('=') + 1);
const read = (text: string): PairInvite => decodePairLink(crypto, text);
const refused = (text: string): string => {
  const { code, message } = refusal(() => read(text));
  expect(code).toBe('bad-link');
  return message;
};

const address = fc
  .tuple(
    fc.constantFrom('http', 'https'),
    fc.oneof(fc.ipV4(), fc.domain(), fc.constantFrom('localhost', '[::1]', '[2001:db8::7]', 'my_pi')),
    fc.option(fc.integer({ min: 1, max: 65_535 })),
  )
  .map(([scheme, host, port]) => `${scheme}://${host}${port === null ? '' : `:${port}`}`.toLowerCase());
const someInvite: fc.Arbitrary<PairInvite> = fc.record({
  device: fc.string().map((name) => deviceOf(name).public),
  addresses: fc.uniqueArray(address, { minLength: 1, maxLength: 16 }),
  space: bytes(32),
  spaceName: fc.string({ unit: 'grapheme', maxLength: 20 }).filter(isName),
  role: fc.constantFrom(...ROLES),
  id: bytes(8),
  secret: bytes(16),
  expiresMs: fc.maxSafeNat(),
});

describe('a link', () => {
  test('is a URL of the first address, with everything in the fragment, and short enough for a QR code', () => {
    expect(link).toMatch(/^http:\/\/192\.168\.1\.20:7600\/#pair=[A-Za-z0-9_-]+$/);
    expect(link.length).toBeLessThan(320);
    expect(new URL(link).search).toBe('');
  });

  test('by hand', () => {
    const fields = encode([invite.device, invite.addresses, invite.space, 'writer', invite.id, invite.secret, invite.expiresMs, 'home']); // prettier-ignore
    const versioned = concat(hex('01'), fields);
    const checksum = createHash('sha256').update(versioned).digest().subarray(0, 4);
    expect(code).toBe(Buffer.concat([versioned, checksum]).toString('base64url'));
  });

  test('encoding and decoding is nothing', () => {
    expect(read(link)).toEqual(invite);
    fc.assert(
      fc.property(someInvite, (any) => {
        expect(read(encodePairLink(crypto, any))).toEqual(any);
      }),
    );
  });

  test.each<[string, string]>([
    ['spaces', `  ${link}\n`],
    ['angle brackets', `<${link}>`],
    ['both', ` < ${link} > `],
    ["a terminal's line breaks", link.replaceAll(/(.{60})/g, '$1\r\n')],
    ['upper case where that means nothing', link.replace('http', 'HTTP')],
    ['a page', link.replace('/#', '/pair/index.html?from=qr#')],
    ['no path', link.replace('/#', '#')],
  ])('with %s', (_, text) => {
    expect(read(text)).toEqual(invite);
  });

  test('to which someone gave another address: that one is tried first', () => {
    expect(read(link.replace('192.168.1.20', '10.0.0.1')).addresses).toEqual([
      'http://10.0.0.1:7600',
      ...invite.addresses,
    ]);
    expect(read(link.replace('http://192.168.1.20:7600', 'http://laptop.local')).addresses).toEqual([
      'http://laptop.local',
      'http://192.168.1.20:7600',
      'https://[fe80::1]:7600',
    ]);
  });
});

describe('what is refused', () => {
  test('a link that was cut, anywhere', () => {
    for (let length = 0; length < link.length; length++) {
      const message = refused(link.slice(0, length));
      const codeLength = length - (link.length - code.length);
      if (codeLength >= 0) expect(message).toContain('cut short');
    }
  });

  test('a link with one character altered, anywhere in its code', () => {
    for (let at = 0; at < code.length; at++) {
      const other = code[at] === 'A' ? 'B' : 'A';
      refused(link.slice(0, link.length - code.length) + code.slice(0, at) + other + code.slice(at + 1));
    }
  });

  test.each([
    ['', 'does not begin with http'],
    ['hello', 'does not begin with http'],
    [code, 'does not begin with http'],
    [`#pair=${code}`, 'does not begin with an address'],
    [link.replace('http', 'ftp'), 'does not begin with an address'],
    [link.replace('http', 'ws'), 'does not begin with an address'],
    [link.replace('192.168.1.20', 'a b'.replace(' ', '%20')), 'does not begin with an address'],
    [link.replace('192.168.1.20', 'user@host'), 'does not begin with an address'],
    [link.replace('7600', '0'), 'does not begin with an address'],
    [link.replace('7600', '65536'), 'does not begin with an address'],
    ['http://192.168.1.20:7600/', 'it has no #pair='],
    ['https://example.org/#pears=1', 'it has no #pair='],
    ['http://192.168.1.20:7600/#pair=', 'cut short or altered'],
    [`${link}.`, 'the character "." is in no link'],
    [`${link}&utm=1`, 'the character "&" is in no link'],
    [`${link}=`, 'the character "=" is in no link'],
    [`${link}\u{1f600}`, 'the character "\u{1f600}" is in no link'],
    [`${link}A`, 'cut short or altered'],
    [`${link}${code}`, 'altered'],
  ])('%s', (text, why) => {
    expect(refused(text)).toContain(why);
  });

  test('one of another version is named before anything else is judged', () => {
    const raw = fromBase64Url(code)!;
    expect(refused(`http://a/#pair=${toBase64Url(raw.with(0, 2))}`)).toContain('of version 2, and this side knows 1');
  });

  const fields: unknown[] = [
    invite.device,
    invite.addresses,
    invite.space,
    'writer',
    invite.id,
    invite.secret,
    1,
    'home',
  ];
  const sealed = (value: unknown): string => {
    const versioned = concat(hex('01'), encode(value));
    return `http://a/#pair=${toBase64Url(concat(versioned, crypto.sha256(versioned).slice(0, 4)))}`;
  };
  test.each<[string, unknown, string]>([
    ['a map', { device: 1 }, 'eight fields'],
    ['seven fields', fields.slice(0, 7), 'eight fields'],
    ['nine fields', [...fields, 1], 'eight fields'],
    ['a short device key', fields.with(0, bytesOf('x', 31)), 'device'],
    ['a device key of small order', fields.with(0, new Uint8Array(32)), 'device'],
    ['no addresses', fields.with(1, []), '1 to 16'],
    ['17 addresses', fields.with(1, Array(17).fill('http://a')), '1 to 16'],
    ['an address that is a number', fields.with(1, [1]), 'one of its addresses'],
    ['an address with a path', fields.with(1, ['http://a/b']), 'one of its addresses'],
    ['an address with a slash', fields.with(1, ['http://a/']), 'one of its addresses'],
    ['an address in upper case', fields.with(1, ['http://A']), 'one of its addresses'],
    ['an address of another scheme', fields.with(1, ['javascript://a']), 'one of its addresses'],
    ['a long address', fields.with(1, [`http://${'a'.repeat(300)}`]), 'one of its addresses'],
    ['a short space', fields.with(2, bytesOf('x', 31)), 'space id'],
    ['an unknown role', fields.with(3, 'admin'), 'role'],
    ['a short id', fields.with(4, bytesOf('x', 7)), 'invite id'],
    ['a short secret', fields.with(5, bytesOf('x', 15)), 'secret'],
    ['an expiry of text', fields.with(6, '1'), 'expiry'],
    ['an expiry before 1970', fields.with(6, -1), 'expiry'],
    ['an expiry that is a fraction', fields.with(6, 1.5), 'expiry'],
    ['a long name', fields.with(7, 'x'.repeat(65)), 'name'],
    ['a name that moves the cursor', fields.with(7, '\u001b[2J'), 'name'],
    ['arrays too deep', fields.with(1, [[['http://a']]]), 'nested too deep'],
  ])('whole, and with %s', (_, value, why) => {
    expect(refused(sealed(value))).toContain(why);
  });

  test('whoever makes such an invite hears of it', () => {
    expect(() => encodePairLink(crypto, { ...invite, addresses: [] })).toThrow(withCode('bad-link'));
    expect(() => encodePairLink(crypto, { ...invite, addresses: ['192.168.1.20:7600'] })).toThrow(withCode('bad-link'));
    expect(() => encodePairLink(crypto, { ...invite, secret: new Uint8Array(8) })).toThrow(withCode('bad-link'));
  });

  test('no refusal repeats the secret', () => {
    const secret = toBase64Url(invite.secret).slice(2, 18);
    fc.assert(
      fc.property(fc.nat(link.length), fc.string({ maxLength: 3 }), (at, inserted) => {
        const text = link.slice(0, at) + inserted + link.slice(at);
        try {
          read(text);
          syncUrl(text);
        } catch (thrown) {
          expect((thrown as Error).message).not.toContain(code.slice(0, 20));
          expect((thrown as Error).message).not.toContain(secret);
        }
      }),
    );
  });

  test('any text gives an invite or a refusal', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.uint8Array(), (text, raw) => {
        orRefused(() => read(text));
        orRefused(() => read(`http://a/#pair=${text}`));
        orRefused(() => read(`http://a/#pair=${toBase64Url(concat(hex('01'), raw))}`));
      }),
    );
  });
});

describe('addresses', () => {
  test.each([
    ['http://192.168.1.20:7600', 'ws://192.168.1.20:7600/sync'],
    ['http://192.168.1.20:7600/', 'ws://192.168.1.20:7600/sync'],
    ['https://tide.example/some/page?x=1#pair=abc', 'wss://tide.example/sync'],
    ['https://tide.example?x', 'wss://tide.example/sync'],
    ['HTTP://Laptop.Local.:80', 'ws://laptop.local.:80/sync'],
    [' http://[::1]:7600 ', 'ws://[::1]:7600/sync'],
    ['ws://a:1/sync', 'ws://a:1/sync'],
    ['wss://a', 'wss://a/sync'],
    ['http://httphost', 'ws://httphost/sync'],
  ])('%s → %s', (base, url) => {
    expect(syncUrl(base)).toBe(url);
    expect(new URL(syncUrl(base)).pathname).toBe('/sync');
  });

  test.each([
    '',
    'laptop',
    'laptop:7600',
    '//laptop',
    'ftp://laptop',
    'http://',
    'http:///sync',
    'http://:7600',
    'http://a:0',
    'http://a:65536',
    'http://a:1x',
    'http://a b',
    'http://user:pw@a',
    'http://a\\b',
    'http://[::1',
    'http://-',
    'http://..',
    'http://a%41',
  ])('%j is none', (base) => {
    // prettier-ignore
    expect(() => syncUrl(base)).toThrow(withCode('bad-argument'));
  });
});

describe('proof and digits', () => {
  const hash = bytesOf('handshake', 32);
  test('the proof is the HMAC that the design names', () => {
    const joiner = deviceOf('phone').public;
    const expected = createHmac('sha256', invite.secret)
      .update(Buffer.concat([Buffer.from('tidelog/1 pair'), hash, joiner]))
      .digest('hex');
    expect(Buffer.from(pairProof(crypto, invite.secret, hash, joiner)).toString('hex')).toBe(expected);
  });

  test('it is another one for another secret, connection or device', () => {
    const proofs = [
      pairProof(crypto, invite.secret, hash, invite.device),
      pairProof(crypto, bytesOf('other', 16), hash, invite.device),
      pairProof(crypto, invite.secret, bytesOf('other', 32), invite.device),
      pairProof(crypto, invite.secret, hash, deviceOf('phone').public),
    ];
    expect(new Set(proofs.map(String)).size).toBe(4);
  });

  test('the digits are 64 bits of a hash, modulo a million', () => {
    fc.assert(
      fc.property(bytes(32), (any) => {
        const digest = createHash('sha256').update('tidelog/1 digits').update(any).digest();
        expect(pairDigits(crypto, any)).toBe(String(digest.readBigUInt64BE() % 1_000_000n).padStart(6, '0'));
      }),
      { numRuns: 1000 },
    );
    const shown = Array.from({ length: 200 }, (_, i) => pairDigits(crypto, bytesOf(`${i}`, 32)));
    expect(shown.every((digits) => /^[0-9]{6}$/.test(digits))).toBe(true);
    expect(shown.some((digits) => digits.startsWith('0'))).toBe(true);
  });
});
