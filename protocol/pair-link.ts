/**
 * The pairing link, and what joiner and inviter make of it: the proof of its secret, and the six digits that both people read.
 *
 *   http://192.168.1.20:7600/#pair=<base64url of: version 1 | msgpack | checksum 4>
 *   msgpack  [device 32, addresses, space 32, role, invite id 8, secret 16, expiry ms, space name]
 *   checksum the first 4 bytes of SHA-256(version | msgpack)
 *
 * An ordinary URL of the inviting node's own page, so that a phone's camera opens it. All of it stands in the fragment, which a browser
 * sends to nobody. The checksum finds the link that was cut short or mistyped before it costs one of the three tries.
 *
 * Whether an invite has expired, or was used, is for those who have a clock and a memory.
 */
import { concat, equal, fromBase64Url, toBase64Url, utf8, readU32 } from './bytes.ts';
import {
  DEVICE_KEY_BYTES,
  INTEGER_MAX,
  INVITE_ID_BYTES,
  INVITE_SECRET_BYTES,
  LABEL,
  SPACE_ID_BYTES,
  SYNC_PATH,
} from './constants.ts';
import type { Crypto } from './crypto.ts';
import { checkDeviceKey } from './ed25519.ts';
import { TidelogError } from './errors.ts';
import { isRole, type Role } from './membership.ts';
import { decodeStrict, encode } from './msgpack.ts';
import { isBytes } from './shape.ts';
import { isName } from './value.ts';

export interface PairInvite {
  /** The inviter's key: whoever answers at an address must hold it. */
  readonly device: Uint8Array;
  /** 1 to 16 origins, `http://192.168.1.20:7600`, the likeliest first: the link itself begins with that one. */
  readonly addresses: readonly string[];
  readonly space: Uint8Array;
  readonly spaceName: string;
  /** What the joiner will be. */
  readonly role: Role;
  readonly id: Uint8Array;
  /** Never logged, shown or sent: `pairProof` stands for it. */
  readonly secret: Uint8Array;
  /** ms since 1970 */
  readonly expiresMs: number;
}

const VERSION = 1;
const CHECKSUM_BYTES = 4;
const ADDRESSES_MAX = 16;
/** A DNS name has at most 253 characters. */
const ADDRESS_CHARACTERS_MAX = 300;
const MARK = '#pair=';

export function encodePairLink(crypto: Crypto, invite: PairInvite): string {
  const { device, addresses, space, role, id, secret, expiresMs, spaceName } = invite;
  const fields = encode([device, addresses, space, role, id, secret, expiresMs, spaceName]);
  // Whoever makes an invite that no one could read hears of it, and not the one who reads it.
  readInvite(fields);
  const versioned = concat(Uint8Array.of(VERSION), fields);
  return `${addresses[0]}/${MARK}${toBase64Url(concat(versioned, checksum(crypto, versioned)))}`;
}

/**
 * The invite in a link as people paste it: with spaces or angle brackets around it, and with the line breaks that a terminal or a mail put in it.
 * Where someone put another address in front, that one is tried first: the device key says whether the right device answers.
 * Throws `bad-link`, which says what is wrong with it and never what is in it.
 */
export function decodePairLink(crypto: Crypto, text: string): PairInvite {
  const link = text.replaceAll(/\s+/g, '').replace(/^<(.*)>$/, '$1');
  const at = link.indexOf(MARK);
  if (at < 0) refuse(/^https?:/i.test(link) ? `it has no ${MARK}` : 'it does not begin with http');
  const origin = readOrigin(link.slice(0, at));
  if (origin === null) refuse('it does not begin with an address like http://192.168.1.20:7600');
  const code = link.slice(at + MARK.length);
  const strange = /[^A-Za-z0-9_-]/u.exec(code);
  if (strange) refuse(`the character ${JSON.stringify(strange[0])} is in no link`);

  const bytes = fromBase64Url(code);
  // A text that was cut need not be base64 any more.
  if (bytes === null || bytes.length < 1 + CHECKSUM_BYTES) refuse('it was cut short or altered');
  if (bytes[0] !== VERSION) refuse(`it is of version ${bytes[0]}, and this side knows ${VERSION}; update this side`);
  const versioned = bytes.subarray(0, -CHECKSUM_BYTES);
  if (!equal(checksum(crypto, versioned), bytes.subarray(-CHECKSUM_BYTES))) refuse('it was cut short or altered');
  const invite = readInvite(versioned.subarray(1));
  return { ...invite, addresses: [origin, ...invite.addresses.filter((address) => address !== origin)] };
}

function checksum(crypto: Crypto, bytes: Uint8Array): Uint8Array {
  return crypto.sha256(bytes).subarray(0, CHECKSUM_BYTES);
}

function readInvite(bytes: Uint8Array): PairInvite {
  const fields = decodeStrict(bytes, 2, 'bad-link');
  if (!Array.isArray(fields) || fields.length !== 8) refuse('it does not hold eight fields');
  const [device, addresses, space, role, id, secret, expiresMs, spaceName] = fields as unknown[];
  if (!isBytes(device, DEVICE_KEY_BYTES) || !checkDeviceKey(device)) refuse('its device is not a device key');
  if (!Array.isArray(addresses) || addresses.length === 0 || addresses.length > ADDRESSES_MAX)
    refuse(`it does not hold 1 to ${ADDRESSES_MAX} addresses`);
  if (!addresses.every((address) => typeof address === 'string' && readOrigin(address) === address))
    refuse('one of its addresses is not like http://192.168.1.20:7600');
  if (!isBytes(space, SPACE_ID_BYTES)) refuse('its space is not a space id');
  if (!isRole(role)) refuse('its role is unknown');
  if (!isBytes(id, INVITE_ID_BYTES)) refuse('its invite id is not 8 bytes');
  if (!isBytes(secret, INVITE_SECRET_BYTES)) refuse('its secret is not 16 bytes');
  if (typeof expiresMs !== 'number' || !Number.isInteger(expiresMs) || expiresMs < 0 || expiresMs > INTEGER_MAX)
    refuse('its expiry is not a time');
  if (!isName(spaceName)) refuse('its space has no short name');
  return { device, addresses: addresses as string[], space, spaceName, role, id, secret, expiresMs };
}

function refuse(why: string): never {
  throw new TidelogError('bad-link', why);
}

/** Scheme, host, port; then whatever a URL may have. A host is a name, an IPv4 address, or an IPv6 address in brackets. */
const ORIGIN =
  /^(https?|wss?):\/\/([a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?\.?|\[[0-9a-f:.]{2,45}\])(?::([0-9]{1,5}))?(?=$|[/?#])/i;

/** `http://host:port` in lower case, of any URL that begins so; null where it doesn't. */
function readOrigin(text: string): string | null {
  const found = text.length <= ADDRESS_CHARACTERS_MAX ? ORIGIN.exec(text) : null;
  if (found === null) return null;
  const [origin, scheme, , port] = found;
  if (!/^http/i.test(scheme!) || !isPort(port)) return null;
  return origin.toLowerCase();
}

function isPort(digits: string | undefined): boolean {
  return digits === undefined || (Number(digits) > 0 && Number(digits) < 65_536);
}

/** `http://host:7600/whatever` → `ws://host:7600/sync`, and https → wss. Throws `bad-argument`. */
export function syncUrl(base: string): string {
  const found = ORIGIN.exec(base.trim());
  if (found === null || !isPort(found[3])) {
    // Without the fragment: someone may have pasted half a pairing link.
    const shown = JSON.stringify(base.replace(/#[^]*/, '').slice(0, 100));
    throw new TidelogError('bad-argument', `${shown} is not an address like http://192.168.1.20:7600`);
  }
  return found[0].toLowerCase().replace(/^http/, 'ws') + SYNC_PATH;
}

/**
 * What a joiner sends in place of the secret: HMAC-SHA256(secret, "tidelog/1 pair" | handshake hash | joiner's device key). It is worth nothing
 * on another connection or to another device. 32 bytes; compare with `equalConstantTime`.
 */
export function pairProof(
  crypto: Crypto,
  secret: Uint8Array,
  handshakeHash: Uint8Array,
  joinerDevice: Uint8Array,
): Uint8Array {
  return crypto.hmacSha256(secret, concat(utf8(LABEL.PAIR), handshakeHash, joinerDevice));
}

/** Six digits that both sides show: the first 8 bytes of SHA-256("tidelog/1 digits" | handshake hash), modulo a million. */
export function pairDigits(crypto: Crypto, handshakeHash: Uint8Array): string {
  const hash = crypto.sha256(concat(utf8(LABEL.DIGITS), handshakeHash));
  // In two steps, each below 2^53. 64 bits make the bias of the remainder 10^-13.
  const high = readU32(hash, 0) % 1_000_000;
  const remainder = (high * 0x1_0000_0000 + readU32(hash, 4)) % 1_000_000;
  return String(remainder).padStart(6, '0');
}
