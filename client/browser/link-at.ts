import { decodePairLink, encodePairLink } from '../../protocol/pair-link.ts';
import { portablePlatform } from '../platform/portable.ts';

/**
 * The same invite by one address alone. A page whose security policy lets it connect only to where it came from tries no other then, and keeps none to
 * dial later. Throws `bad-link`.
 */
export function linkAt(origin: string, link: string): string {
  const { crypto } = portablePlatform();
  return encodePairLink(crypto, { ...decodePairLink(crypto, link), addresses: [origin] });
}
