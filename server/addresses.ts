/** URLs of a node that listens at a host and port. */
import { networkInterfaces } from 'node:os';

/** Where programs of this machine reach it. */
export function urlOf(host: string, port: number): string {
  return `http://${inUrl(isEveryAddress(host) ? '127.0.0.1' : host)}:${port}`;
}

/** Every address on which another machine may reach this one; loopback alone where it listens there alone. */
export function addressesOf(host: string, port: number): string[] {
  if (!isEveryAddress(host)) return [`http://${inUrl(host)}:${port}`];
  const own = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    // Link-local IPv6 needs a zone, which means something on this machine only.
    .filter(
      ({ internal, address }) => !internal && !address.startsWith('fe80:') && (host === '::' || !address.includes(':')),
    );
  const found = own.length > 0 ? own.map(({ address }) => address) : ['127.0.0.1'];
  return found.map((address) => `http://${inUrl(address)}:${port}`);
}

function isEveryAddress(host: string): boolean {
  return host === '0.0.0.0' || host === '::';
}

function inUrl(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}
