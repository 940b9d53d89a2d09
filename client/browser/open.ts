/**
 * `open` in a browser: the store in IndexedDB, the device's key in it and remembered beside it, and the page's events. The database that comes of it is the
 * same as in Node.
 */
import { deleteDB } from 'idb';
import { parseDeviceId } from '../../protocol/device-id.ts';
import { asTidelogError, type TidelogError } from '../../protocol/errors.ts';
import { callBack } from '../call-back.ts';
import { Database, DEVICE_KEY, open as openWith, type OpenOptions } from '../database.ts';
import type { PeerEvent } from '../events.ts';
import type { Platform } from '../platform.ts';
import { openIndexedDbStore } from '../platform/indexeddb-store.ts';
import { portablePlatform } from '../platform/portable.ts';
import type { Store } from '../store.ts';
import { forget, recall, remember } from './memory.ts';
import { TabStore } from './tab-store.ts';
import { Tabs } from './tabs.ts';
import { onLeave, onOffline, onShow, onWake } from './waking.ts';

/** What a page should tell a person. */
export type Notice =
  /** Whether the browser promised to keep the data. It can't be asked on a page that is no secure context, and is free to delete it there. */
  | { readonly type: 'storage'; readonly persistent: boolean }
  /** The browser deleted the data. The device is the same, fetches what others have, and has lost what no other had. */
  | { readonly type: 'evicted' }
  /** Whether this tab is the one that writes and has the lines to other devices; see tabs.ts. Every tab reads, and may write. */
  | { readonly type: 'leads'; readonly here: boolean }
  /** The database is gone, or a newer version of the page has taken it. This one is closed. `closed`: the page has deleted the device, in this tab or another. */
  | { readonly type: 'lost'; readonly error: TidelogError };

export interface BrowserOptions extends Omit<OpenOptions, 'platform' | 'store'> {
  readonly platform?: Platform;
  /** In place of IndexedDB: then nothing here is done but the page's events. */
  readonly store?: Store;
  /** Of the database, where one site has several devices. 'tidelog' if not given. */
  readonly database?: string;
  readonly onNotice?: (notice: Notice) => void;
}

const DATABASE = 'tidelog';
const OPEN_TRIES = 3;

/**
 * Opens this browser's peer. Every tab of a site may: they are one device, one of them at a time writes and has the lines to others, and all see the same. See
 * tabs.ts.
 */
export async function open(options: BrowserOptions): Promise<Database> {
  if (options.store) return openPage(options, options.store, null);
  for (let tries = 1; ; tries++) {
    try {
      return await openTab(options);
    } catch (thrown) {
      // Another tab took over in the middle of it, as tabs do that a busy machine opens at once.
      if (tries === OPEN_TRIES || asTidelogError(thrown).code !== 'data-in-use') throw thrown;
    }
  }
}

async function openTab(options: BrowserOptions): Promise<Database> {
  const { database: name = DATABASE } = options;
  const onNotice = (notice: Notice): void => callBack(options.onNotice ?? (() => {}), notice);
  let lost: TidelogError | null = null;
  let opened: Database | null = null;
  /** The lead goes to another tab, which may ask for it before there is a peer here. */
  let follows = false;
  const store = await openIndexedDbStore(name, {
    onTakenOver: () => tabs.lost(),
    onLost: (error) => {
      lost = error;
      tabs.close();
      void opened?.close().catch(() => {});
      onNotice({ type: 'lost', error });
    },
  });
  const tabs: Tabs = new Tabs(name, {
    takeOver: () => store.takeOver(),
    refresh: async () => opened?.peer.refresh(),
    lead() {
      follows = false;
      opened?.peer.lead();
      onNotice({ type: 'leads', here: true });
    },
    async follow() {
      follows = true;
      onNotice({ type: 'leads', here: false });
      await opened?.peer.follow();
    },
    acked: (space, device, position, epoch) =>
      opened?.peer.spaces.find(({ hex }) => hex === space)?.noteAcked(device, position, epoch),
  });
  const shared = new TabStore(store, tabs);
  try {
    // So that no other tab makes a device or a space at the same time, and what is opened is what is on the disk.
    const release = await tabs.hold('work');
    try {
      const returned = await comeBack(shared, name, options);
      if (returned) onNotice({ type: 'evicted' });
      opened = await openPage(options, shared, tabs, (database) => {
        void keepInMind(database, shared, name, options);
      });
      if (lost) throw lost as TidelogError;
      if (follows) await opened.peer.follow();
      for (const { id, name, address } of returned ?? []) await opened.peer.addDevice(id, { name, address });
    } finally {
      release();
    }
    // What another wrote while it was opened.
    await tabs.catchUp().catch(() => tabs.catchUpSoon());
    void keepInMind(opened, shared, name, options);
    void askToPersist(onNotice);
    return opened;
  } catch (thrown) {
    await opened?.close().catch(() => {});
    await shared.close();
    throw asTidelogError(thrown);
  }
}

async function openPage(
  options: BrowserOptions,
  store: Store,
  tabs: Tabs | null,
  note: (database: Database) => void = () => {},
): Promise<Database> {
  const { platform = portablePlatform(), onEvent, ...rest } = options;
  let page: PageDatabase | null = null;
  const database = await openWith({
    ...rest,
    store,
    platform,
    onEvent: (event) => {
      onEvent?.(event);
      if (page && NOTED.has(event.type)) note(page);
    },
  });
  page = new PageDatabase(database, store, tabs);
  return page;
}

/** Deletes this browser's device: its data and its key. Every tab that has it open is closed. */
export async function deleteDevice(name: string = DATABASE): Promise<void> {
  forget(name);
  await deleteDB(name);
  // A tab that was noting it just then.
  forget(name);
}

/** Those after which another device may be known. */
const NOTED: ReadonlySet<PeerEvent['type']> = new Set(['connected', 'paired', 'adopted', 'membership']);

/** Where the database is new and this page remembers one: makes it the same device's. Answers whom it knew; null where nothing was lost. */
async function comeBack(
  store: Store,
  name: string,
  { keys }: BrowserOptions,
): Promise<readonly { id: string; name: string; address: string }[] | null> {
  const memory = recall(name);
  const isNew =
    (await store.get('meta', DEVICE_KEY)) === undefined && (await store.scan('spaces', { limit: 1 })).length === 0;
  if (!memory || !isNew) return null;
  if (!keys && !memory.seed) return null;
  if (!keys) await store.write([{ table: 'meta', key: DEVICE_KEY, value: memory.seed }]);
  return memory.peers;
}

async function keepInMind({ peer }: Database, store: Store, name: string, { keys }: BrowserOptions): Promise<void> {
  try {
    const isMember = (id: string): boolean => {
      const device = parseDeviceId(id);
      return peer.spaces.some((space) => space.roleOf(device) !== null);
    };
    const peers = peer
      .knownDevices()
      .filter(({ id, addresses }) => addresses.length > 0 && isMember(id))
      .map(({ id, name, addresses }) => ({ id, name, address: addresses[0]! }));
    remember(name, { seed: keys ? null : ((await store.get('meta', DEVICE_KEY)) ?? null), peers });
  } catch {
    // Closed meanwhile, or lost, which is told elsewhere.
  }
}

async function askToPersist(onNotice: (notice: Notice) => void): Promise<void> {
  // Absent on a page that is no secure context.
  const storage = globalThis.navigator?.storage as StorageManager | undefined;
  const persistent = (await storage?.persist?.().catch(() => false)) ?? false;
  onNotice({ type: 'storage', persistent });
}

/** Looks for its peers when the page wakes, and is closed when the page goes away. */
class PageDatabase extends Database {
  readonly #stop: (() => void)[];

  constructor({ peer }: Database, store: Store, tabs: Tabs | null) {
    super(peer, store);
    this.#stop = [
      onWake(() => peer.wake()),
      // A node on the same machine is still there, and answers at once.
      onOffline(() => {
        for (const connection of peer.connections()) if (connection.remote) connection.close();
        peer.wake();
      }),
      // Whoever looks at a tab works in it, and the browser slows down those that nobody looks at.
      onShow(() => void tabs?.take().catch(() => {})),
      onLeave(() => {
        tabs?.leave();
        void this.close().catch(() => {});
      }),
    ];
  }

  override async close(): Promise<void> {
    for (const stop of this.#stop.splice(0)) stop();
    await super.close();
  }
}
