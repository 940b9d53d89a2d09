/**
 * A space's log out into a file and in from one. What comes from a file is judged as if it came from a peer; there is no cursor to keep, for nobody
 * follows a file.
 */
import { equal, toHex } from '../protocol/bytes.ts';
import type { AuthenticEntry } from '../protocol/authenticate.ts';
import { decodeBatch } from '../protocol/batch.ts';
import { decodeKnownBody, decodeStem } from '../protocol/body.ts';
import { isFromTheFuture } from '../protocol/clock.ts';
import { TidelogError } from '../protocol/errors.ts';
import type { Ingested } from './exchange.ts';
import { LogFileWriter, type LogFileBlock, type LogFileEnd } from './log-file.ts';
import type { Platform } from './platform.ts';
import { unpack } from './replica/block.ts';
import { checkBatch, type CheckedBatch } from './replica/check-batch.ts';
import { copyLog, type CopiedTo } from './replica/copy-log.ts';
import { Incoming, readIncoming, readShort } from './replica/incoming.ts';
import type { Log } from './replica/log.ts';
import type { Pace } from './replica/pace.ts';
import type { View } from './replica/view.ts';
import type { Writer } from './replica/writer.ts';

/** Unpacked bytes of blocks on their way to the disk: many share a flush. */
const UNDER_WAY_BYTES_MAX = 16 * 1024 * 1024;

/** What was seen in blocks that were looked at closely. */
export class Seen {
  commits = 0;
  erased = 0;
  /** By device key, hex. */
  readonly entriesByDevice = new Map<string, number>();
  /** Of the first commit and the latest, µs; what is from the future counts for neither. */
  fromUs: number | null = null;
  untilUs: number | null = null;
  /** Positions of signatures that only a later one of their chain vouches for; see check-batch.ts. */
  readonly vouched: number[] = [];

  note({ chain, kind }: AuthenticEntry, timeUs: number, nowUs: number): void {
    if (kind === 'commit') this.commits++;
    else this.erased++;
    const device = toHex(chain.device);
    this.entriesByDevice.set(device, (this.entriesByDevice.get(device) ?? 0) + 1);
    if (isFromTheFuture(timeUs, nowUs)) return;
    this.fromUs = Math.min(this.fromUs ?? timeUs, timeUs);
    this.untilUs = Math.max(this.untilUs ?? timeUs, timeUs);
  }
}

export class Copying {
  readonly #platform: Platform;
  readonly #view: View;
  readonly #log: Log;
  readonly #writer: Writer;

  constructor(platform: Platform, replica: { readonly view: View; readonly log: Log; readonly writer: Writer }) {
    this.#platform = platform;
    this.#view = replica.view;
    this.#log = replica.log;
    this.#writer = replica.writer;
  }

  /** The log up to where it ends now, as the bytes of a log file. Throws before the first of them what `copyLog` throws. */
  async *export(after: CopiedTo | null): AsyncGenerator<Uint8Array> {
    const { crypto, codecs } = this.#platform;
    const context = { view: this.#view, log: this.#log, codecs };
    const { epoch } = this.#view;
    const copy = copyLog(context, after, () => this.#writer.rewrites);
    let next = await copy.next();
    const from = after?.position ?? 0;
    const file = new LogFileWriter(crypto);
    yield file.header({ space: this.#view.space, epoch, after: from });
    const given = new Set<string>();
    for (; !next.done; next = await copy.next()) {
      // Also one that became known on the way: what comes from then on may rest on it.
      for (const { bytes } of this.#view.forks.all) {
        if (given.size < given.add(toHex(bytes)).size) yield file.fork(bytes);
      }
      yield file.block(next.value);
    }
    yield file.end({ ...next.value, entries: next.value.head - from });
  }

  /** Takes blocks in, in order, and none behind one that was refused. */
  intake(): Intake {
    return new Intake(this.#platform, this.#view, this.#writer);
  }
}

export class Intake {
  readonly #platform: Platform;
  readonly #view: View;
  readonly #writer: Writer;
  #bytes = 0;
  /** Those under way, oldest first, each with its bytes. */
  readonly #underway: { readonly bytes: number; readonly done: Promise<void> }[] = [];
  #fault: unknown = null;
  /** The block that was refused. */
  refused: Pick<LogFileBlock, 'first' | 'last'> | null = null;
  /** Entries that were new, and those that were here. */
  added = 0;
  duplicates = 0;
  /** The last position, in the log that they come from, up to which all is on disk. */
  position = 0;

  constructor(platform: Platform, view: View, writer: Writer) {
    this.#platform = platform;
    this.#view = view;
    this.#writer = writer;
  }

  /** Returns when there is room for the next; throws what was wrong with this one or one before it. */
  async take(block: LogFileBlock): Promise<void> {
    const { crypto, codecs, reader } = this.#platform;
    const { space, logOnly } = this.#view;
    const elsewhere = await reader?.read(space, block, !logOnly);
    await this.#write(block, () => {
      const short = elsewhere ?? readShort(crypto, codecs, space, block, !logOnly);
      return readIncoming(crypto, codecs, space, { ...block, prev: block.first - 1 }, short);
    });
  }

  /** The same, with every link and signature verified. What is seen is noted once the block is on disk. */
  async takeChecked(block: LogFileBlock, pace: Pace, seen: Seen): Promise<void> {
    const { crypto, codecs } = this.#platform;
    const { space } = this.#view;
    let checked: CheckedBatch | null = null;
    await this.#write(block, async () => {
      const batch = decodeBatch(unpack(codecs, block));
      checked = await checkBatch(crypto, space, batch, pace);
      return new Incoming(crypto, space, null, checked.linked);
    });
    await this.settled();
    const { linked, vouched } = checked!;
    const nowUs = this.#platform.nowUs();
    for (const entry of linked.entries) {
      if (entry.kind === 'gap') continue;
      const { time } = entry.kind === 'commit' ? decodeKnownBody(entry.body) : decodeStem(entry.stem);
      seen.note(entry, time, nowUs);
      const wait = pace();
      if (wait) await wait;
    }
    for (const i of vouched) seen.vouched.push(block.first + i);
  }

  async #write(block: LogFileBlock, read: () => Incoming | Promise<Incoming>): Promise<void> {
    let incoming: Incoming;
    try {
      incoming = await read();
      const { count } = incoming;
      const places = block.last - block.first + 1;
      if (count !== places) throw new TidelogError('bad-batch', `it has ${count} entries for ${places} positions`);
    } catch (thrown) {
      await this.#drained();
      this.#refuse(thrown, block);
      throw this.#fault;
    }
    const written = this.#writer.run(async (group) => {
      if (this.#fault !== null) throw new TidelogError('aborted', 'a block before it was refused');
      try {
        return await group.addBatch(incoming, block);
      } catch (thrown) {
        this.#refuse(thrown, block);
        throw thrown;
      }
    });
    const done = written.then(
      (ingested) => this.#took(ingested, block.last),
      (thrown: unknown) => this.#refuse(thrown, block),
    );
    this.#underway.push({ bytes: block.rawBytes, done });
    this.#bytes += block.rawBytes;
    while (this.#bytes > UNDER_WAY_BYTES_MAX) await this.#first();
    if (this.#fault !== null) await this.settled();
  }

  #refuse(thrown: unknown, { first, last }: LogFileBlock): void {
    if (this.#fault !== null) return;
    this.#fault = thrown;
    this.refused = { first, last };
  }

  #took({ added, duplicates }: Ingested, last: number): void {
    this.added += added;
    this.duplicates += duplicates;
    this.position = last;
  }

  async #first(): Promise<void> {
    const { bytes, done } = this.#underway.shift()!;
    await done;
    this.#bytes -= bytes;
  }

  /** All that was taken is on disk; throws what was refused. */
  async settled(): Promise<void> {
    await this.#drained();
    if (this.#fault !== null) throw this.#fault;
  }

  async #drained(): Promise<void> {
    while (this.#underway.length > 0) await this.#first();
  }

  /** The log here is the one that the file's end tells of. Throws `bad-copy`. */
  checkEnd({ head, digest }: LogFileEnd): void {
    const { storedHead } = this.#view;
    if (storedHead !== head)
      throw new TidelogError('bad-copy', `it gives ${storedHead} entries, and its end says ${head}`);
    if (!equal(this.#view.digest(), digest))
      throw new TidelogError('bad-copy', `its digest is ${toHex(this.#view.digest())}, and its end says another`);
  }
}
