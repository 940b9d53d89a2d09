/**
 * Who may speak to the node at all, judged by headers before anything else. Three separate dangers:
 *  - Another program or person on the network: the token.
 *  - A web page somewhere whose name is made to resolve to this machine (DNS rebinding): the Host header must be a name of ours.
 *  - A web page somewhere that makes the browser send requests here: the Origin header must be this node's own page.
 */
import { isIP } from 'node:net';

import { equalConstantTime, utf8 } from '../../protocol/bytes.ts';
import { SYNC_PATH } from '../../protocol/constants.ts';
import { TidelogError } from '../../protocol/errors.ts';

/** The name without its port; null where it is not a host at all. Lower case, IPv6 without brackets. */
function hostNameOf(host: string): string | null {
  const match = /^(?:\[([0-9a-f:.]+)\]|([^:\s[\]@/]+))(?::\d{1,5})?$/i.exec(host);
  return (match?.[1] ?? match?.[2])?.toLowerCase().replace(/\.$/, '') ?? null;
}

/** Loopback's names, addresses as such (a rebound name is never one), and the names that the configuration adds. */
function isOurName(name: string, hostNames: readonly string[]): boolean {
  if (name === 'localhost' || name.endsWith('.localhost') || isIP(name) !== 0) return true;
  return hostNames.some((ours) => ours.toLowerCase() === name);
}

/** Throws `bad-host`. */
export function checkHost(headers: ReadonlyMap<string, string>, hostNames: readonly string[]): void {
  const host = headers.get('host') ?? '';
  const name = hostNameOf(host);
  if (name === null || !isOurName(name, hostNames))
    throw new TidelogError('bad-host', host === '' ? 'the request names no host' : `it is ${JSON.stringify(host)}`);
}

/**
 * Throws `bad-host`. Only browsers send an Origin. Over HTTP it must be this very node's page. At /sync a page of another node of the same
 * person is welcome too: what lets a device in there is the handshake, and a page has no more to offer it than a socket has.
 */
export function checkOrigin(path: string, headers: ReadonlyMap<string, string>, hostNames: readonly string[]): void {
  const origin = headers.get('origin');
  if (origin === undefined) return;
  const url = URL.canParse(origin) ? new URL(origin) : null;
  const fine =
    url !== null &&
    (path === SYNC_PATH ? isOurName(hostNameOf(url.host) ?? '', hostNames) : url.host === headers.get('host'));
  if (!fine) throw new TidelogError('bad-host', `the request comes from a page of ${JSON.stringify(origin)}`);
}

/** Throws `bad-token`. */
export function checkToken(headers: ReadonlyMap<string, string>, token: string): void {
  const given = /^Bearer +(\S+) *$/i.exec(headers.get('authorization') ?? '')?.[1] ?? '';
  if (!equalConstantTime(utf8(given), utf8(token))) throw new TidelogError('bad-token');
}
