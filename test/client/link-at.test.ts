/** A pairing link by one address: what a page may connect to. */
import { expect, test } from 'vitest';

import { linkAt } from '../../client/browser/link-at.ts';
import { portablePlatform } from '../../client/platform/portable.ts';
import { decodePairLink, encodePairLink, type PairInvite } from '../../protocol/pair-link.ts';

const { crypto, random } = portablePlatform();
const invite: PairInvite = {
  device: crypto.ed25519KeyPair(random(32)).public,
  addresses: ['http://192.168.1.20:7600', 'http://10.0.0.2:7600'],
  space: random(32),
  spaceName: 'home',
  role: 'writer',
  id: random(8),
  secret: random(16),
  expiresMs: 1_800_000_000_000,
};

test('names that address and no other, and is the same invite', () => {
  const link = linkAt('http://10.0.0.2:7600', encodePairLink(crypto, invite));
  expect(decodePairLink(crypto, link)).toEqual({ ...invite, addresses: ['http://10.0.0.2:7600'] });
});

test('of a link that was cut short there is none', () => {
  const link = encodePairLink(crypto, invite).slice(0, -3);
  expect(() => linkAt('http://10.0.0.2:7600', link)).toThrow(expect.objectContaining({ code: 'bad-link' }));
});
