/** Reading a space's log as a person or a program does: by cursors that are text, commit by commit. Connections read it batch by batch; see exchange.ts. */
import { decodeKnownBody } from '../protocol/body.ts';
import { fromHex, toHex } from '../protocol/bytes.ts';
import { formatDeviceId } from '../protocol/device-id.ts';
import { TidelogError } from '../protocol/errors.ts';
import type { Filter } from '../protocol/messages.ts';
import type { DeviceNames } from './device-names.ts';
import { readBack } from './log-back.ts';
import type { LogEntry } from './replica/entry.ts';
import type { Log } from './replica/log.ts';
import { checkEpoch, ofOneLog } from './replica/moving.ts';
import type { View } from './replica/view.ts';
import type { Signal } from './signal.ts';
import type { LoggedCommit, LogOptions, NewestOptions } from './views.ts';

export class History {
  readonly #view: View;
  readonly #log: Log;
  readonly #names: DeviceNames;
  /** Raised when the disk has more of the log. */
  readonly #appended: Signal;

  constructor(view: View, log: Log, names: DeviceNames, appended: Signal) {
    this.#view = view;
    this.#log = log;
    this.#names = names;
    this.#appended = appended;
  }

  /** The cursor after an entry, as text: opaque to others, `<epoch>-<position>`. */
  cursorOf(position: number): string {
    return `${toHex(this.#view.epoch)}-${position}`;
  }

  /** Throws `bad-cursor`, and the typed cursor errors with `{epoch, floor, head}`. */
  positionOf(cursor: string): number {
    if (cursor === '0') return 0;
    const match = /^([0-9a-f]{16})-(0|[1-9][0-9]{0,15})$/.exec(cursor);
    if (!match) throw new TidelogError('bad-cursor', JSON.stringify(cursor.slice(0, 60)));
    this.checkCursor(fromHex(match[1]!)!, Number(match[2]));
    return Number(match[2]);
  }

  /** Throws the typed cursor errors. */
  checkCursor(epoch: Uint8Array, seq: number): void {
    checkEpoch(this.#view, epoch);
    const { storedHead: head } = this.#view;
    if (seq <= head) return;
    const detail = { epoch: toHex(epoch), floor: 0, head };
    throw new TidelogError('cursor-too-new', `${seq}, and the log ends at ${head}`, detail);
  }

  async *commits(options: LogOptions): AsyncGenerator<LoggedCommit> {
    const { after = '0', subject, prefix, live = false, signal } = options;
    let position = this.positionOf(after);
    const { epoch } = this.#view;
    const filter: Filter | null =
      subject !== undefined ? { kind: 'subject', subject } : prefix ? { kind: 'prefix', prefix } : null;
    for (;;) {
      const { storedHead: head } = this.#view;
      const seen = this.#appended.count;
      try {
        for await (const commit of this.#logged(filter, position)) {
          signal?.throwIfAborted();
          // Made anew under the reader: it says so, instead of passing over something.
          this.checkCursor(epoch, 0);
          position = commit.position;
          yield commit.logged;
        }
      } catch (thrown) {
        // What looks damaged then may be of two logs.
        this.checkCursor(epoch, 0);
        throw thrown;
      }
      this.checkCursor(epoch, 0);
      position = Math.max(position, head);
      if (!live) return;
      await this.#appended.until(() => this.#appended.count !== seen, signal);
      this.checkCursor(epoch, 0);
    }
  }

  async *#logged(filter: Filter | null, after: number): AsyncGenerator<{ position: number; logged: LoggedCommit }> {
    const names = await this.#names.all();
    if (filter !== null) {
      for await (const { entry, body } of this.#log.commitsOn(filter, after)) {
        yield {
          position: entry.position,
          logged: { ...this.#loggedPlace(entry, names), time: body.time, changes: body.changes, erased: false },
        };
      }
      return;
    }
    for await (const entry of this.#log.after(after)) {
      if (entry.kind !== 'gap') yield { position: entry.position, logged: this.#loggedEntry(entry, names) };
    }
  }

  /** Newest first, from before a cursor or the end of the log. Throws `bad-cursor`, and the typed cursor errors. */
  async newest({
    before,
    limit,
    subject,
    device,
  }: NewestOptions): Promise<{ items: LoggedCommit[]; next: string | null }> {
    const options = {
      before: before === undefined ? this.#view.storedHead + 1 : this.positionOf(before),
      limit,
      ...(subject !== undefined && { subject }),
      ...(device !== undefined && { device: toHex(device) }),
    };
    return ofOneLog(this.#view, this.#view.epoch, async () => {
      const names = await this.#names.all();
      const { entries, next } = await readBack(this.#log, options);
      return {
        items: entries.map((entry) => this.#loggedEntry(entry, names)),
        next: next === null ? null : this.cursorOf(next),
      };
    });
  }

  /** Throws `not-found`. */
  async at(position: number): Promise<LoggedCommit> {
    const { entries } = await readBack(this.#log, { before: position + 1, limit: 1 });
    if (entries[0]?.position !== position) throw new TidelogError('not-found', `no commit at position ${position}`);
    return this.#loggedEntry(entries[0], await this.#names.all());
  }

  #loggedEntry(entry: LogEntry, names: ReadonlyMap<string, string>): LoggedCommit {
    const place = this.#loggedPlace(entry, names);
    if (entry.kind !== 'commit') return { ...place, time: null, changes: [], erased: true };
    const { time, changes } = decodeKnownBody(entry.body);
    return { ...place, time, changes, erased: false };
  }

  #loggedPlace(
    { position, id, chain }: LogEntry,
    names: ReadonlyMap<string, string>,
  ): Pick<LoggedCommit, 'cursor' | 'id' | 'device' | 'deviceName'> {
    return {
      cursor: this.cursorOf(position),
      id: toHex(id),
      device: formatDeviceId(chain.device),
      deviceName: names.get(chain.deviceHex) ?? '',
    };
  }
}
