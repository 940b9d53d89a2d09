/** A data folder as a peer at work: the lock, the store, the key, the settings. A node does it for long, a command for a moment. */
import { nodePlatform } from '../client/platform/node.ts';
import type { PeerEvent } from '../client/events.ts';
import { Peer } from '../client/peer.ts';
import type { Store } from '../client/store.ts';
import { ConfigFile } from './config.ts';
import { openDataDir } from './data-dir.ts';
import { openLmdbStore } from './lmdb-store.ts';

export interface OpenedPeer {
  /** Absolute. */
  readonly dataDir: string;
  readonly peer: Peer;
  readonly config: ConfigFile;
  readonly token: string;
  /** The six digits that a device and this one showed when it was let in, if that was lately. */
  digitsOf(device: string): string | null;
  /** Tells other commands where this process answers for the folder. */
  announce(url: string): void;
  /** Waits for writes under way, then gives the folder free. */
  close(): Promise<void>;
}

/** Pairings whose digits are kept for who waits to compare them. */
const DIGITS_MAX = 100;

/** Throws what opening a data folder or a store throws; then nothing stays open. */
export async function openPeer(dataDir: string, onEvent: (event: PeerEvent) => void = () => {}): Promise<OpenedPeer> {
  const folder = await openDataDir(dataDir);
  let store: Store | null = null;
  try {
    const config = await ConfigFile.read(dataDir);
    // It may have died of what is in there, and then without a word.
    store = await openLmdbStore(folder.storePath, { isSuspect: folder.lock.wasLeft });
    const platform = nodePlatform();
    const digitsByDevice = new Map<string, string>();
    const take = (event: PeerEvent): void => {
      if (event.type === 'paired') remember(digitsByDevice, event.device, event.digits);
      onEvent(event);
    };
    const keys = platform.crypto.ed25519KeyPair(folder.seed);
    const peer = await Peer.open({ store, platform, keys, name: config.values.name, onEvent: take });
    peer.logBytesMax = config.values.logBytesMax;
    const opened = store;
    return {
      dataDir: folder.dir,
      peer,
      config,
      token: folder.token,
      digitsOf: (device) => digitsByDevice.get(device) ?? null,
      announce: (url) => folder.lock.announce(url),
      async close() {
        await peer.close();
        await opened.close();
        await folder.release();
      },
    };
  } catch (thrown) {
    await store?.close();
    await folder.release();
    throw thrown;
  }
}

/** Forgets the oldest where there are too many. */
function remember(digitsByDevice: Map<string, string>, device: string, digits: string): void {
  digitsByDevice.delete(device);
  digitsByDevice.set(device, digits);
  const [oldest] = digitsByDevice.keys();
  if (digitsByDevice.size > DIGITS_MAX && oldest !== undefined) digitsByDevice.delete(oldest);
}
