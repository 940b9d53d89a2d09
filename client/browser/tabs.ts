/**
 * The tabs of one site are one peer: each has it open and reads the same database, and one of them leads, which means that it writes and has the lines to other
 * devices. Whoever wants to write asks for the lead, and the one that has it writes what is begun, hands over, and reads on. So every tab has the whole
 * library, nothing is forwarded, and a write is stored, or it isn't, in the tab that made it.
 *
 * They talk over a BroadcastChannel, which every page has. Web Locks only tell sooner that a leader is gone, and let one at a time ask; a page that is no secure
 * context has none. None of it has to be right for the data's sake: who leads has taken the next number in the store, and the store refuses the writes of
 * whoever had an earlier one (see platform/indexeddb-store.ts). So a tab that the browser froze while it led can't fork the chain when it thaws.
 *
 *   take → giving → given → lead        asked for, heard, let go of, taken
 *   who → lead                          followers ask every few seconds; no answer twice, and one of them takes it
 *   wrote, acked                        what all should know
 */
import { TidelogError } from '../../protocol/errors.ts';
import type { Hold, SharedStore } from '../store.ts';
import { InTurn } from '../in-turn.ts';
import { Signal } from '../signal.ts';
import { leadLock, oneAtATime, someoneLeads, whenReleased } from './locks.ts';

/** A tab that leads and isn't frozen says by then that it has heard. */
const ANSWER_MS = 250;
/** By then it has let go: its writes are on the disk in less. After it the lead is taken from it. */
const GIVE_MS = 5000;
/** Of it, what writes that wait may take. */
const SETTLE_MS = 2000;
/** The lead stays this long where it came: two tabs that write all the time would else spend it on handing over. */
const TENURE_MS = 250;
const PING_MS = 2000;
const PINGS_UNANSWERED_MAX = 2;
/** After a leader is gone, before another takes the lead: at most, at random, so that not all ask at once. */
const SUCCEED_MS = 100;
/** Between two readings of what another tab writes, and after one that failed. */
const REFRESH_PAUSE_MS = 30;
const REFRESH_AGAIN_MS = 200;

type Message =
  | { readonly type: 'take'; readonly from: string }
  | { readonly type: 'giving' | 'given'; readonly to: string }
  | { readonly type: 'who' | 'wrote' }
  | { readonly type: 'lead'; readonly from: string; readonly number: number }
  | { readonly type: 'gone'; readonly number: number }
  | {
      readonly type: 'acked';
      readonly space: string;
      readonly device: Uint8Array;
      readonly position: number;
      readonly epoch: Uint8Array;
    };

/** What is led: a store and the peer on it. */
export interface Led {
  /** Takes the next number in the store. */
  takeOver(): Promise<number>;
  /** Reads anew what the peer has in memory. */
  refresh(): Promise<void>;
  lead(): void;
  /** Resolves when what was begun is written. */
  follow(): Promise<void>;
  acked(space: string, device: Uint8Array, position: number, epoch: Uint8Array): void;
}

interface Asking {
  untilMs: number;
  isGiven: boolean;
}

export class Tabs implements SharedStore {
  readonly #id = Array.from({ length: 4 }, () => Math.random().toString(36).slice(2, 6)).join('');
  readonly #name: string;
  readonly #led: Led;
  readonly #channel: BroadcastChannel;
  readonly #changed = new Signal();
  readonly #timer: ReturnType<typeof setInterval>;
  /** Its number in the store, or of the tab that leads; 0: not known. */
  #leader = 0;
  /** It has the number, and what the peer has in memory is that of the disk. */
  #isReady = false;
  #readySinceMs = 0;
  #writes = 0;
  #works = 0;
  /** Waits for those who hold it, and lets nobody else. */
  #isLettingGo = false;
  #giveTo: string | null = null;
  #taking: Promise<void> | null = null;
  #asking: Asking | null = null;
  #isTakingOver = false;
  #releaseLock: () => void = () => {};
  #unanswered = 0;
  /** The peer reads once at a time, and the lead does not come here in the middle of it. */
  readonly #readings = new InTurn();
  #isRefreshDue = false;
  #isClosed = false;
  leads = false;

  constructor(name: string, led: Led) {
    this.#name = `tidelog ${name}`;
    this.#led = led;
    this.#channel = new BroadcastChannel(this.#name);
    this.#channel.onmessage = ({ data }: MessageEvent<Message>) => this.#hear(data);
    this.#timer = setInterval(() => this.#ping(), PING_MS);
  }

  // ---- for the peer

  get #holders(): number {
    return this.#writes + this.#works;
  }

  async hold(kind: Hold): Promise<() => void> {
    // While it is being let go of, nobody new is let in, or two spaces that are written all the time would keep it for ever. But what is part of a work that
    // holds it already must be: the work waits for it. Nobody can tell which is part of one, so then all are.
    while (!this.#isReady || (this.#isLettingGo && this.#works === 0)) {
      if (this.#isClosed) throw new TidelogError('closed');
      // What was begun before the lead was taken away must fail: it rests on what was read then, and another may have written since.
      if (!this.leads && this.#holders > 0)
        throw new TidelogError('data-in-use', 'another tab took over in the middle of this; nothing of it is written');
      if (this.#isReady) await this.#changed.until(() => !this.#isReady || !this.#isLettingGo);
      else await this.take();
    }
    return this.#hold(kind);
  }

  /** For a single write that stands by itself, in what was begun already. */
  holdNow(): (() => void) | null {
    return this.leads && !this.#isClosed ? this.#hold('write') : null;
  }

  #hold(kind: Hold): () => void {
    if (kind === 'work') this.#works++;
    else this.#writes++;
    return () => {
      if (kind === 'work') this.#works--;
      else this.#writes--;
      this.#changed.notify();
    };
  }

  /** As `catchUp`, where nobody waits for it; tried until it succeeds. */
  catchUpSoon(): void {
    this.#refreshSoon();
  }

  async catchUp(): Promise<void> {
    // One that has just taken the lead has not read yet what was written before.
    if (!this.#isReady) await this.#refresh();
  }

  acked(space: string, device: Uint8Array, position: number, epoch: Uint8Array): void {
    if (this.leads) this.#post({ type: 'acked', space, device, position, epoch });
  }

  wrote(): void {
    this.#post({ type: 'wrote' });
  }

  /** Resolves once it leads, or has led. */
  take(): Promise<void> {
    this.#taking ??= oneAtATime(this.#name, GIVE_MS, () => this.#take()).finally(() => {
      this.#taking = null;
    });
    return this.#taking;
  }

  /** The page goes away: another needn't wait until it is missed. */
  leave(): void {
    if (this.leads) this.#post({ type: 'gone', number: this.#leader });
  }

  close(): void {
    if (this.#isClosed) return;
    this.leave();
    this.#isClosed = true;
    this.leads = false;
    this.#isReady = false;
    clearInterval(this.#timer);
    this.#releaseLock();
    this.#channel.close();
    this.#changed.close();
  }

  // ---- taking the lead, and giving it

  async #take(): Promise<void> {
    if (this.#isReady || this.#isClosed) return;
    if (await someoneLeads(this.#name)) await this.#ask();
    // What was begun under an earlier number has failed by then.
    await this.#changed.until(() => this.#holders === 0);
    if (this.#isClosed) return;
    this.#isTakingOver = true;
    // What the peer was reading began while another wrote: it ends as in a tab that follows.
    const number = await this.#readings
      .run(async () => {
        const taken = await this.#led.takeOver();
        this.#leader = taken;
        this.leads = true;
        return taken;
      })
      .finally(() => {
        this.#isTakingOver = false;
      });
    // What is written on the way, and finds the lead gone, must fail and not wait for the lead, which waits for it.
    const release = this.#hold('write');
    try {
      await this.#refresh();
      // It may have been taken already.
      if (!this.leads) return;
      this.#releaseLock = await leadLock(this.#name, number);
      if (!this.leads) return this.#releaseLock();
    } catch (thrown) {
      this.leads = false;
      throw thrown;
    } finally {
      release();
    }
    this.#readySinceMs = performance.now();
    this.#isReady = true;
    this.#post({ type: 'lead', from: this.#id, number });
    this.#led.lead();
    this.#changed.notify();
    if (this.#giveTo !== null) void this.#give(this.#giveTo);
  }

  async #ask(): Promise<void> {
    const asking: Asking = { untilMs: performance.now() + ANSWER_MS, isGiven: false };
    this.#asking = asking;
    this.#post({ type: 'take', from: this.#id });
    try {
      while (!asking.isGiven && !this.#isClosed) {
        const leftMs = asking.untilMs - performance.now();
        if (leftMs <= 0) return;
        const timer = setTimeout(() => this.#changed.notify(), leftMs);
        const { count } = this.#changed;
        await this.#changed.until(() => this.#changed.count !== count);
        clearTimeout(timer);
      }
    } finally {
      this.#asking = null;
    }
  }

  async #give(to: string): Promise<void> {
    this.#giveTo = to;
    try {
      await sleep(this.#readySinceMs + TENURE_MS - performance.now());
      await Promise.race([this.#led.follow(), sleep(SETTLE_MS)]);
      this.#isLettingGo = true;
      await this.#changed.until(() => this.#holders === 0 || !this.leads).catch(() => {});
    } finally {
      this.#isLettingGo = false;
      this.#giveTo = null;
    }
    if (!this.leads) return;
    this.#post({ type: 'given', to });
    this.#stepDown();
  }

  #stepDown(): void {
    this.leads = false;
    this.#isReady = false;
    this.#leader = 0;
    this.#releaseLock();
    this.#unanswered = 0;
    this.#changed.notify();
  }

  /** Another has taken the lead while this one stood still. */
  lost(): void {
    if (!this.leads && !this.#isReady) return;
    this.#stepDown();
    void this.#led.follow().catch(() => {});
    this.#refreshSoon();
  }

  // ---- hearing of others

  #hear(message: Message): void {
    switch (message.type) {
      case 'take':
        return this.#heardTake(message.from);
      case 'giving':
        this.#leader = 0;
        return this.#waitOn(GIVE_MS);
      case 'given':
        this.#leader = 0;
        if (this.#asking && message.to === this.#id) this.#asking.isGiven = true;
        return this.#waitOn(GIVE_MS);
      case 'who':
        if (this.#isReady) this.#post({ type: 'lead', from: this.#id, number: this.#leader });
        return;
      case 'lead':
        return this.#heardLead(message.from, message.number);
      case 'gone':
        if (message.number === this.#leader && !this.leads) this.#succeed(message.number);
        return;
      case 'wrote':
        if (!this.leads) this.#refreshSoon();
        return;
      case 'acked':
        return this.#led.acked(message.space, message.device, message.position, message.epoch);
    }
  }

  #heardTake(from: string): void {
    // Of two that ask at once, and that nobody answers, the smaller goes first.
    const isFirst = this.leads || this.#isTakingOver || (this.#asking !== null && this.#id < from);
    if (!isFirst) return;
    this.#post({ type: 'giving', to: from });
    if (this.#giveTo !== null) return;
    this.#giveTo = from;
    if (this.#isReady) void this.#give(from);
  }

  #heardLead(from: string, number: number): void {
    this.#unanswered = 0;
    if (this.leads) {
      if (number > this.#leader) this.lost();
      return;
    }
    if (this.#giveTo === from) this.#giveTo = null;
    if (this.#asking) {
      this.#waitOn(ANSWER_MS);
      this.#post({ type: 'take', from: this.#id });
    }
    if (number <= this.#leader) return;
    this.#leader = number;
    this.#refreshSoon();
    whenReleased(this.#name, number, () => this.#succeed(number));
  }

  #waitOn(ms: number): void {
    if (!this.#asking) return;
    this.#asking.untilMs = performance.now() + ms;
    this.#changed.notify();
  }

  /** The tab with a number doesn't lead any more, and perhaps nobody. */
  #succeed(number: number): void {
    setTimeout(() => {
      if (this.#leader !== number || this.leads || this.#isClosed || this.#taking) return;
      this.take().catch(() => {});
    }, Math.random() * SUCCEED_MS);
  }

  #ping(): void {
    if (this.leads || this.#taking) return;
    if (this.#unanswered >= PINGS_UNANSWERED_MAX) {
      this.#unanswered = 0;
      this.#succeed(this.#leader);
      return;
    }
    this.#unanswered++;
    this.#post({ type: 'who' });
  }

  #post(message: Message): void {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- that is a window's
    if (!this.#isClosed) this.#channel.postMessage(message);
  }

  // ---- reading what another wrote

  #refresh(): Promise<void> {
    return this.#readings.run(() => this.#led.refresh());
  }

  /** Once for all that is told until then. */
  #refreshSoon(afterMs = 0): void {
    if (this.#isRefreshDue) return;
    this.#isRefreshDue = true;
    setTimeout(() => {
      this.#isRefreshDue = false;
      if (this.leads || this.#isClosed) return;
      // Read while another writes, it may not fit together.
      this.#refresh().catch(() => this.#refreshSoon(REFRESH_AGAIN_MS));
    }, afterMs || REFRESH_PAUSE_MS);
  }
}

function sleep(ms: number): Promise<void> {
  return ms > 0 ? new Promise((resolve) => setTimeout(resolve, ms)) : Promise.resolve();
}
