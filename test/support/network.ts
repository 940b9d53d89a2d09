/** Peers in one process, connected by names instead of addresses: `http://laptop` reaches the peer that was added as laptop. */
import { nodePlatform } from '../../client/platform/node.ts';
import { transportPair } from '../../client/platform/transport-pair.ts';
import type { PeerEvent } from '../../client/events.ts';
import { MemoryStore } from '../../client/memory-store.ts';
import { Peer } from '../../client/peer.ts';
import type { Platform } from '../../client/platform.ts';
import type { Store } from '../../client/store.ts';
import { toHex } from '../../protocol/bytes.ts';
import { TidelogError } from '../../protocol/errors.ts';
import type { Filter } from '../../protocol/messages.ts';
import { lateStore } from './stores.ts';

/** TIDELOG_TEST_LATE_STORE=1: every peer's store that a test doesn't bring itself answers late. */
const isLate = process.env['TIDELOG_TEST_LATE_STORE'] === '1';

export interface Member {
  readonly peer: Peer;
  readonly store: Store;
  readonly events: PeerEvent[];
  readonly url: string;
}

export interface AddOptions {
  readonly store?: Store;
  readonly seed?: Uint8Array;
  readonly platform?: Partial<Platform>;
  readonly only?: Filter;
}

export class Network {
  readonly #byUrl = new Map<string, Peer>();
  readonly #cuts: { url: string; by: Peer | null; cut: () => void }[] = [];
  readonly #members: Member[] = [];
  /** µs that are added to everybody's clock. */
  skewUs = 0;

  /** Node's, with lines to the peers in here. */
  platform(): Platform {
    const platform = nodePlatform();
    return { ...platform, nowUs: () => platform.nowUs() + this.skewUs, dial: (to) => this.#dial(to) };
  }

  async add(name: string, options: AddOptions = {}): Promise<Member> {
    const platform = this.platform();
    const url = `http://${name}`;
    const store = options.store ?? (isLate ? lateStore(new MemoryStore()) : new MemoryStore());
    const events: PeerEvent[] = [];
    const keys = platform.crypto.ed25519KeyPair(options.seed ?? platform.random(32));
    const peer = await Peer.open({
      store,
      keys,
      name,
      only: options.only ?? null,
      platform: { ...platform, ...options.platform },
      onEvent: (event) => events.push(event),
    });
    this.#byUrl.set(url, peer);
    const member = { peer, store, events, url };
    this.#members.push(member);
    return member;
  }

  #dial(to: string): Promise<ReturnType<typeof transportPair>['a']> {
    const url = to.replace(/^ws/, 'http').replace(/\/sync$/, '');
    const peer = this.#byUrl.get(url);
    if (!peer) return Promise.reject(new TidelogError('unreachable', url));
    const pair = transportPair();
    this.#cuts.push({ url, by: null, cut: pair.cut });
    peer.accept(pair.b);
    return Promise.resolve(pair.a);
  }

  /** Every line goes down at once, with whatever is on it. */
  cut(): void {
    for (const { cut } of this.#cuts.splice(0)) cut();
  }

  /** Nobody reaches it any more, and its connections are lost. */
  isolate(member: Member): void {
    this.#byUrl.delete(member.url);
    for (const connection of member.peer.connections()) connection.close();
  }

  reconnect(member: Member): void {
    this.#byUrl.set(member.url, member.peer);
  }

  async close(): Promise<void> {
    for (const { peer, store } of this.#members) {
      await peer.close();
      await store.close();
    }
  }
}

/** `guest` joins `host`'s default space by a link, and syncs. */
export async function pair(
  host: Member,
  guest: Member,
  role: 'owner' | 'writer' | 'reader' | 'mirror' = 'writer',
): Promise<void> {
  const { link } = await host.peer.invite(await host.peer.homeSpace(), { role, addresses: [host.url] });
  const { synced } = await guest.peer.join(link);
  await synced;
}

export async function eventually(
  holds: () => boolean | Promise<boolean>,
  what: string,
  timeoutMs = 20_000,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** All have the same commits. */
export async function eventuallySame(members: readonly Member[], timeoutMs?: number): Promise<void> {
  const digests = (): string[] => members.map(({ peer }) => toHex(peer.space().digest()));
  await eventually(
    () => new Set(digests()).size === 1,
    `${members.map(({ peer }) => peer.name).join(', ')} have the same`,
    timeoutMs,
  );
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const collected: T[] = [];
  for await (const item of items) collected.push(item);
  return collected;
}

/** Every resource of the default space, as lines. */
export function dump(peer: Peer): Promise<string[]> {
  return collect(peer.space().export());
}
