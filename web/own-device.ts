/** Whether this browser is a device itself, as this page remembers it; and its peer, which is loaded when it is asked for. */
import type { LostNotice, PeerSource } from './peer-source.ts';
import { SourceError } from './source.ts';

const NAME = 'tidelog-own-device';

/** What it is called; null where this browser is no device, or stores nothing. */
export function ownDevice(): string | null {
  try {
    return localStorage.getItem(NAME);
  } catch {
    return null;
  }
}

export function rememberOwnDevice(name: string | null): void {
  try {
    if (name === null) localStorage.removeItem(NAME);
    else localStorage.setItem(NAME, name);
  } catch {
    // A browser that stores nothing: the device lasts as long as this page is open.
  }
}

export async function openOwnDevice(name: string, onLost: (lost: LostNotice) => void): Promise<PeerSource> {
  const { openPeer } = await import('./peer-source.ts').catch(() => {
    throw new SourceError(
      'offline',
      'The node doesn’t answer, and the rest of this page isn’t here yet. Is it running?',
    );
  });
  return openPeer(name, onLost);
}

/** Whether a pairing link came whole, by its checksum; where that can't be found out, whoever is asked to let this device in will say. */
export async function isWholeLink(link: string): Promise<boolean> {
  try {
    const { isPairLink } = await import('./peer-source.ts');
    return isPairLink(link);
  } catch {
    return true;
  }
}

/** What a person would call it, until somebody says otherwise. */
export function guessedName(): string {
  const { userAgent } = navigator;
  if (/iPad|Tablet/i.test(userAgent)) return 'Tablet';
  if (/Mobi|Android|iPhone/i.test(userAgent)) return 'Phone';
  return 'Browser';
}
