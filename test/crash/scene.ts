/**
 * One data folder over many kills, and a friend who is never killed: a peer in this process with its store in memory, connected over a socket. The
 * victim is written to over HTTP and by the friend at once. Kept here: what was acknowledged, to whomever.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { MemoryStore } from '../../client/memory-store.ts';
import { Peer } from '../../client/peer.ts';
import { nodePlatform } from '../../client/platform/node.ts';
import { toHex } from '../../protocol/bytes.ts';
import { freePort } from '../../server/demo/free-port.ts';
import { initDevice } from '../../server/device.ts';
import { openPeer } from '../../server/open-peer.ts';
import { collect, eventually } from '../support/network.ts';
import { Victim, type Kill } from './victim.ts';

/** Hands that write over HTTP at once. */
const WRITERS = 3;
/** Acknowledgements after which a point that was not met is given up, and the kill comes from outside. */
const ACKS_MAX = 120;
const PATIENCE_MS = 10_000;
const NEVER: Kill = { kind: 'random', afterAcks: Infinity, delayMs: 0 };

type Ops = Readonly<Record<string, unknown>>;

export class Scene {
  readonly #folder: string;
  readonly #dataDir: string;
  readonly #port: number;
  readonly friend: Peer;
  readonly #random: () => number;
  /** Subject → what was written there: acknowledged over HTTP as on the victim's disk. */
  readonly written = new Map<string, unknown>();
  /** The same, of what the friend wrote and the victim acknowledged to it. */
  readonly received = new Map<string, unknown>();
  #round = 0;

  private constructor(folder: string, port: number, friend: Peer, random: () => number) {
    this.#folder = folder;
    this.#dataDir = join(folder, 'data');
    this.#port = port;
    this.friend = friend;
    this.#random = random;
  }

  /** With both paired. */
  static async make(random: () => number): Promise<Scene> {
    const folder = await mkdtemp(join(tmpdir(), 'tidelog-crash-'));
    const platform = nodePlatform();
    const keys = platform.crypto.ed25519KeyPair(platform.random(32));
    const friend = await Peer.open({ store: new MemoryStore(), platform, keys, name: 'friend' });
    const scene = new Scene(folder, await freePort(), friend, random);
    await initDevice(scene.#dataDir, 'victim');
    const victim = await scene.#start(NEVER);
    await victim.commit([{ subject: 'count', inc: { writes: 0 } }]);
    const answer = await victim.request('POST', '/v1/pairing/invites', { role: 'writer' });
    const { link } = (await answer.json()) as { link: string };
    const { synced } = await friend.join(link);
    await synced;
    await scene.#stop(victim);
    return scene;
  }

  get folder(): string {
    return this.#folder;
  }

  async #start(kill: Kill): Promise<Victim> {
    const victim = new Victim(this.#dataDir, this.#port, kill);
    if (await victim.up) return victim;
    throw new Error(`it did not start: ${victim.stderr}`);
  }

  async #stop(victim: Victim): Promise<void> {
    victim.signal('SIGTERM');
    const ended = await victim.ended;
    if (ended !== 0) throw new Error(`a stop that was asked for ended with ${ended}: ${victim.stderr}`);
  }

  /** Starts the victim, looks whether everything is there, lets all write, and has it killed. True where the point was met. */
  async round(kill: Kill): Promise<boolean> {
    this.#round++;
    const victim = new Victim(this.#dataDir, this.#port, kill);
    if (!(await victim.up)) {
      // In the middle of a recovery: the next start has to do it.
      if ((await victim.ended) === 'SIGKILL') return true;
      throw new Error(`it did not start: ${victim.stderr}`);
    }
    const isStop = kill.kind === 'point' && kill.point.startsWith('close-');
    const stopAfter = kill.kind === 'random' ? kill.afterAcks : isStop ? 1 + Math.floor(this.#random() * 30) : ACKS_MAX;
    const aborter = new AbortController();
    let acks = 0;
    let isOver = false;
    const end = (): void => {
      if (isOver) return;
      isOver = true;
      if (isStop) victim.signal('SIGTERM');
      else setTimeout(() => victim.signal('SIGKILL'), kill.kind === 'random' ? kill.delayMs : 0);
    };
    const acknowledged = (): void => {
      if (++acks >= stopAfter) end();
    };
    const patience = setTimeout(end, PATIENCE_MS);
    try {
      // It may die at any moment of this, too.
      const text = await victim.export().catch(() => null);
      if (text !== null && !victim.isGone) this.#check(text);
      this.friend.wake();
      const hands = Array.from({ length: WRITERS }, (_, hand) => this.#write(victim, hand, acknowledged));
      const friendly = this.#writeAsFriend(aborter.signal, acknowledged);
      const ended = await victim.ended;
      aborter.abort();
      await Promise.all([...hands, friendly]);
      if (isStop && !isOver) throw new Error(`ended by itself with ${ended}: ${victim.stderr}`);
      return ended === 'SIGKILL' && !(isOver && kill.kind !== 'random' && !isStop);
    } finally {
      clearTimeout(patience);
      aborter.abort();
      victim.signal('SIGKILL');
      await victim.ended;
    }
  }

  async #write(victim: Victim, hand: number, acknowledged: () => void): Promise<void> {
    for (let n = 0; !victim.isGone; n++) {
      const subject = `http/${this.#round}-${hand}-${n}`;
      const value = this.#value();
      const changes: Ops[] = [
        { subject, set: { value } },
        // Counts itself: a commit is whole or not there.
        { subject: 'count', inc: { writes: 1 } },
      ];
      if (!(await victim.commit(changes))) return;
      this.written.set(subject, value);
      acknowledged();
    }
  }

  async #writeAsFriend(signal: AbortSignal, acknowledged: () => void): Promise<void> {
    const space = this.friend.space();
    for (let n = 0; !signal.aborted; n++) {
      const subject = `friend/${this.#round}-${n}`;
      const value = this.#value();
      const write = space.set(subject, { value: value as string });
      try {
        await write.reached({ peers: 1, signal });
      } catch {
        return;
      }
      this.received.set(subject, value);
      acknowledged();
    }
  }

  /** Mostly small; now and then too large for the journal. */
  #value(): string {
    const random = this.#random();
    const length = random < 0.7 ? 20 : random < 0.98 ? Math.floor(this.#random() * 4000) : 150_000;
    return String.fromCharCode(97 + Math.floor(this.#random() * 26)).repeat(length);
  }

  #check(text: string): void {
    const lines = text.split('\n').filter((line) => line !== '');
    const found = new Map(
      lines.map((line) => {
        const { subject, ...ops } = JSON.parse(line) as { subject: string; set?: Ops; inc?: Ops };
        return [subject, ops] as const;
      }),
    );
    for (const acknowledged of [this.written, this.received]) {
      for (const [subject, value] of acknowledged) {
        const is = found.get(subject)?.set?.['value'];
        if (is !== value)
          throw new Error(`${subject} was acknowledged and is ${is === undefined ? 'gone' : 'changed'}`);
      }
    }
    const commits = [...found.keys()].filter((subject) => subject.startsWith('http/')).length;
    const counted = found.get('count')?.inc?.['writes'] ?? 0;
    if (counted !== commits) throw new Error(`half a commit: ${commits} subjects and a count of ${String(counted)}`);
  }

  /** Both have the same in the end; nothing was sent twice, nothing was told that the disk did not have, and the log is what the state says. */
  async finish(): Promise<void> {
    const victim = await this.#start(NEVER);
    const space = this.friend.space();
    let theirs = '';
    try {
      this.friend.wake();
      const own = async (): Promise<string> => (await collect(space.export())).map((line) => `${line}\n`).join('');
      const isSame = async (): Promise<boolean> => (theirs = await victim.export()) === (await own());
      await eventually(isSame, 'the two have the same', 60_000);
      this.#check(theirs);
    } finally {
      victim.signal('SIGTERM');
      await victim.ended;
    }
    // A commit that the friend had and the victim lost would have made it begin another chain.
    if (space.chains.length !== 2)
      throw new Error(`there are ${space.chains.length} chains: the victim lost commits that it had told of`);
    const { duplicates, refusals } = this.friend.counters;
    if (duplicates > 0) throw new Error(`${duplicates} entries came twice`);
    const odd = Object.keys(refusals).filter(
      (code) => !['unreachable', 'timeout', 'shutting-down', 'closed'].includes(code),
    );
    if (odd.length > 0) throw new Error(`refused: ${JSON.stringify(refusals)}`);
    await this.#audit(theirs, toHex(space.digest()));
  }

  /** From the folder itself: every entry of the log is there and links, and the state is what they make. */
  async #audit(expected: string, digest: string): Promise<void> {
    const opened = await openPeer(this.#dataDir);
    try {
      const space = opened.peer.space();
      if (toHex(space.digest()) !== digest) throw new Error('they show the same, and have not the same commits');
      const { length: entries } = await collect(space.log());
      const { head } = space.stats();
      if (entries !== head) throw new Error(`the log has ${entries} entries and says ${head}`);
      await space.rebuild();
      const rebuilt = (await collect(space.export())).map((line) => `${line}\n`).join('');
      if (rebuilt !== expected) throw new Error('the state is not what the log makes');
    } finally {
      await opened.close();
    }
  }

  async close(): Promise<void> {
    await this.friend.close();
    await rm(this.#folder, { recursive: true, force: true });
  }
}
