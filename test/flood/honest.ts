/**
 * Two devices of an honest person, in a process of their own: one writes a few times a second, the other follows live, and the node is all that is
 * between them. Each write is timed from the one's call to the other's log; each has to come, once and in order.
 *
 * Spoken to over the channel of fork(): what comes in and goes out is below.
 */
import { setTimeout as sleep } from 'node:timers/promises';

import { MemoryStore } from '../../client/memory-store.ts';
import { Peer } from '../../client/peer.ts';
import { nodePlatform } from '../../client/platform/node.ts';
import { toHex } from '../../protocol/bytes.ts';
import { formatDeviceId } from '../../protocol/device-id.ts';

export type ToHonest =
  | { readonly type: 'begin'; readonly url: string; readonly links: readonly [string, string] }
  | { readonly type: 'phase'; readonly name: string }
  /** Stops writing, waits until all has come, and reports. */
  | { readonly type: 'settle' };

export type FromHonest =
  { readonly type: 'ready'; readonly space: string } | { readonly type: 'settled'; readonly report: HonestReport };

export interface HonestReport {
  readonly written: number;
  readonly received: number;
  /** In the order of writing, and none twice. */
  readonly inOrder: boolean;
  /** Both hold the same log. */
  readonly same: boolean;
  /** Device IDs of all whose commits are in the log. */
  readonly authors: readonly string[];
  /** Phase → ms from the write to the other device's log. */
  readonly delays: Readonly<Record<string, readonly number[]>>;
  /** Phase → ms that a new connection took until it had greeted; -1 where it came to nothing. */
  readonly dials: Readonly<Record<string, readonly number[]>>;
}

const WRITE_EVERY_MS = 50;
const DIAL_EVERY_MS = 2000;
const SETTLE_MS = 60_000;

async function openPeer(name: string): Promise<Peer> {
  const platform = nodePlatform();
  const keys = platform.crypto.ed25519KeyPair(platform.random(32));
  return Peer.open({ store: new MemoryStore(), platform, keys, name });
}

class Honest {
  readonly #url: string;
  readonly #writer: Peer;
  readonly #reader: Peer;
  readonly #startedMs: number[] = [];
  readonly #phaseOf: string[] = [];
  readonly #delays: Record<string, number[]> = {};
  readonly #dials: Record<string, number[]> = {};
  #phase = 'setup';
  #received = 0;
  #inOrder = true;
  #writing = false;

  private constructor(url: string, writer: Peer, reader: Peer) {
    this.#url = url;
    this.#writer = writer;
    this.#reader = reader;
  }

  static async open(url: string, links: readonly [string, string]): Promise<Honest> {
    const honest = new Honest(url, await openPeer('honest writer'), await openPeer('honest reader'));
    await (
      await honest.#writer.join(links[0])
    ).synced;
    await (
      await honest.#reader.join(links[1])
    ).synced;
    void honest.#follow();
    void honest.#dialOn();
    return honest;
  }

  get space(): string {
    return this.#writer.space().hex;
  }

  async #follow(): Promise<void> {
    const id = this.#writer.id;
    for await (const { device, changes } of this.#reader.space().log({ subject: 'beat', live: true })) {
      if (device !== id) continue;
      const n = changes[0]?.ops.set?.['n'] as number;
      this.#inOrder &&= n === this.#received;
      this.#received++;
      (this.#delays[this.#phaseOf[n]!] ??= []).push(performance.now() - this.#startedMs[n]!);
    }
  }

  begin(phase: string): void {
    this.#phase = phase;
    if (this.#writing) return;
    this.#writing = true;
    void this.#writeOn();
  }

  async #writeOn(): Promise<void> {
    while (this.#writing) {
      const n = this.#startedMs.length;
      this.#startedMs.push(performance.now());
      this.#phaseOf.push(this.#phase);
      await this.#writer.space().set('beat', { n }).stored;
      await sleep(WRITE_EVERY_MS);
    }
  }

  /** A third device connects, greets and goes, again and again: is there room for who comes new? It is a stranger to the node, and is told so. */
  async #dialOn(): Promise<void> {
    for (;;) {
      await sleep(DIAL_EVERY_MS);
      if (!this.#writing) continue;
      const phase = this.#phase;
      const startedMs = performance.now();
      const stranger = await openPeer('newcomer');
      const code = await stranger.connect(this.#url, { signal: AbortSignal.timeout(20_000) }).then(
        () => '',
        (thrown: unknown) => (thrown as { code?: string }).code ?? String(thrown),
      );
      // It got as far as to be told by the node's own device.
      (this.#dials[phase] ??= []).push(code === 'not-paired' ? performance.now() - startedMs : -1);
      await stranger.close();
    }
  }

  async settle(): Promise<HonestReport> {
    this.#writing = false;
    const written = this.#startedMs.length;
    const digests = (): string[] => [this.#writer, this.#reader].map((peer) => toHex(peer.space().state().digest));
    const deadlineMs = performance.now() + SETTLE_MS;
    const isSettled = (): boolean => this.#received >= written && new Set(digests()).size === 1;
    while (!isSettled() && performance.now() < deadlineMs) await sleep(20);
    const space = this.#reader.space();
    return {
      written,
      received: this.#received,
      inOrder: this.#inOrder,
      same: new Set(digests()).size === 1,
      authors: [...new Set(space.chains.filter(({ seq }) => seq > 0).map(({ device }) => formatDeviceId(device)))],
      delays: this.#delays,
      dials: this.#dials,
    };
  }
}

let honest: Honest | null = null;
const say = (message: FromHonest): void => void process.send!(message);
process.on('message', (message: ToHonest) => {
  void (async () => {
    if (message.type === 'begin') {
      honest = await Honest.open(message.url, message.links);
      say({ type: 'ready', space: honest.space });
    } else if (message.type === 'phase') {
      honest!.begin(message.name);
    } else {
      say({ type: 'settled', report: await honest!.settle() });
    }
  })();
});
process.on('disconnect', () => process.exit());
