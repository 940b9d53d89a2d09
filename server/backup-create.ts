/**
 * Makes a backup, or brings one up to date. It asks the node for what came since the last time, as any program could, and writes it into a file of its
 * own; a log that isn't the same any more is copied whole, beside the older copy. Only when everything is on the disk does backup.json name it, and
 * then goes what isn't named: whenever this is cut off, the backup is what it was before.
 */
import { open, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { readLogFile, type LogFileEnd } from '../client/log-file.ts';
import { nodeCrypto } from '../client/platform/crypto-node.ts';
import { toHex } from '../protocol/bytes.ts';
import { TidelogError, type ErrorCode } from '../protocol/errors.ts';
import {
  assertFree,
  BACKUP_KEY,
  readBackup,
  removeUnnamed,
  segmentName,
  writeBackup,
  type Backup,
  type Segment,
  type SpaceBackup,
} from './backup-folder.ts';
import { lockBackup } from './backup-lock.ts';
import { writeKey } from './data-dir.ts';
import { isFile, makeFolder, syncFolder, writtenInto } from './durable.ts';
import type { BackupSubject } from './http/log.ts';

/** What a backup is made of. */
export interface BackupSource {
  subject(): Promise<BackupSubject>;
  /** The bytes of a log file. Throws cursor errors where `after` isn't in that log. */
  log(space: string, after: { readonly cursor: string; readonly id: string } | null): AsyncIterable<Uint8Array>;
  readonly settings: Readonly<Record<string, unknown>>;
  /** Given only where the key was asked for by name. */
  readonly seed: Uint8Array | null;
}

export interface CreateOptions {
  /** Hex id, where only one space is to be brought up to date. */
  readonly only?: string | undefined;
  readonly onProgress?: (space: string, done: number, total: number) => void;
  readonly nowMs?: () => number;
}

export interface SpaceCreated {
  readonly id: string;
  readonly name: string;
  readonly head: number;
  /** Entries and bytes that were written now. */
  readonly added: number;
  readonly bytes: number;
  /** Everything was copied, and not only what came since the last time. */
  readonly isWhole: boolean;
}

export interface Created {
  readonly backup: Backup;
  readonly spaces: readonly SpaceCreated[];
}

/** Small files add up; then they are made one. */
const SEGMENTS_MAX = 50;
/** The log isn't the one that was copied: it is copied anew. */
const OTHER_LOG: ReadonlySet<ErrorCode> = new Set(['cursor-epoch', 'cursor-too-new', 'cursor-too-old', 'bad-cursor']);

/** Throws `bad-argument` for a folder that is something else's, `data-in-use` while another makes one there. */
export async function createBackup(dir: string, source: BackupSource, options: CreateOptions = {}): Promise<Created> {
  if (await isFile(dir))
    throw new TidelogError('bad-argument', `${dir} is a file; choose an empty folder, or a new one`);
  await makeFolder(dir);
  if ((await readBackup(dir)) === null) await assertFree(dir);
  const unlock = await lockBackup(dir);
  try {
    return await new Making(dir, source, options).run();
  } finally {
    await unlock();
  }
}

/** A space's log, or what was new of it; no file where nothing was. */
interface Copy {
  readonly segment: Segment | null;
  /** Of the log that it was copied from; it may have been made anew since the node told of it. */
  readonly epoch: string;
  readonly end: LogFileEnd;
}

class Making {
  readonly #dir: string;
  readonly #source: BackupSource;
  readonly #options: CreateOptions;

  constructor(dir: string, source: BackupSource, options: CreateOptions) {
    this.#dir = dir;
    this.#source = source;
    this.#options = options;
  }

  async run(): Promise<Created> {
    const before = await readBackup(this.#dir);
    const { device, devices, spaces } = await this.#source.subject();
    if (before && before.device.id !== device.id)
      throw new TidelogError(
        'bad-argument',
        `${this.#dir} is the backup of another device, ${before.device.name} ${before.device.id.slice(0, 7)}; choose another folder`,
      );
    const { only } = this.#options;
    const created: SpaceCreated[] = [];
    const made: SpaceBackup[] = [];
    for (const { id, name, epoch, head } of spaces) {
      const old = before?.spaces.find((space) => space.id === id) ?? null;
      if (only !== undefined && only !== id) {
        if (old) made.push(old);
        continue;
      }
      const [space, did] = await this.#space({ id, name, epoch, head }, old);
      made.push(space);
      created.push(did);
    }
    // What the device no longer holds stays in its backup.
    for (const old of before?.spaces ?? []) if (!made.some(({ id }) => id === old.id)) made.push(old);
    const { seed, settings } = this.#source;
    if (seed) await writeKey(join(this.#dir, BACKUP_KEY), seed);
    const backup: Backup = {
      format: 1,
      device,
      createdMs: (this.#options.nowMs ?? Date.now)(),
      withKey: seed !== null || (before?.withKey ?? false),
      settings: { ...settings },
      devices: devices.map(({ id, name, addresses }) => ({ id, name, addresses: [...addresses] })),
      spaces: made,
    };
    await this.#assertThere(made.filter(({ id }) => created.some((space) => space.id === id)));
    await syncFolder(this.#dir);
    await writeBackup(this.#dir, backup);
    await removeUnnamed(this.#dir, backup);
    return { backup, spaces: created };
  }

  /** What came since the last time, where that can be told; otherwise all of it. */
  async #space(
    { id, name, epoch, head: total }: BackupSubject['spaces'][number],
    old: SpaceBackup | null,
  ): Promise<[SpaceBackup, SpaceCreated]> {
    const isSame = old?.epoch === epoch && old.segments.length < SEGMENTS_MAX && (await this.#areThere(old.segments));
    const more = isSame && old.head > 0 ? await this.#more(id, old, total) : null;
    const { segment, epoch: copied, end } = more ?? (await this.#whole(id, total));
    const kept = more ? old!.segments : [];
    const space: SpaceBackup = {
      id,
      name,
      epoch: copied,
      head: end.head,
      headId: toHex(end.headId),
      digest: toHex(end.digest),
      holes: [...end.holes],
      segments: segment ? [...kept, segment] : kept,
    };
    const { entries: added } = end;
    return [space, { id, name, head: end.head, added, bytes: segment?.bytes ?? 0, isWhole: more === null }];
  }

  /** null where the log isn't the one that was copied, or a body came into a place that was empty in the copy. */
  async #more(id: string, old: SpaceBackup, total: number): Promise<Copy | null> {
    try {
      const more = await this.#copy(id, old, total);
      const holes = new Set(more.end.holes);
      return old.holes.every((hole) => holes.has(hole)) ? more : null;
    } catch (thrown) {
      if (thrown instanceof TidelogError && OTHER_LOG.has(thrown.code)) return null;
      throw thrown;
    }
  }

  /** A log that is made anew in the middle is copied anew, however often: each time another fork has become known. */
  async #whole(id: string, total: number): Promise<Copy> {
    for (;;) {
      try {
        return await this.#copy(id, null, total);
      } catch (thrown) {
        if (!(thrown instanceof TidelogError) || thrown.code !== 'cursor-epoch') throw thrown;
      }
    }
  }

  /** Writes what comes into a file, and checks it on the way. No file where nothing came. */
  async #copy(id: string, old: SpaceBackup | null, total: number): Promise<Copy> {
    const after = old && { cursor: `${old.epoch}-${old.head}`, id: old.headId };
    const draft = join(this.#dir, `${id.slice(0, 16)}.part`);
    const file = await open(draft, 'w', 0o600);
    let bytes = 0;
    let hash = '';
    let epoch = '';
    let end: LogFileEnd | null = null;
    try {
      for await (const part of readLogFile(nodeCrypto, writtenInto(file, this.#source.log(id, after)))) {
        if (part.kind === 'header') epoch = toHex(part.epoch);
        if (part.kind === 'block') this.#options.onProgress?.(id, part.last, total);
        hash = toHex(part.hash);
        if (part.kind === 'end') end = part;
      }
      await file.sync();
      bytes = (await file.stat()).size;
    } catch (thrown) {
      await rm(draft, { force: true });
      throw asStoreError(thrown, draft);
    } finally {
      await file.close();
    }
    const { head } = end!;
    const from = old?.head ?? 0;
    if (end!.entries === 0 && old) {
      await rm(draft, { force: true });
      return { segment: null, epoch, end: end! };
    }
    const segment = { after: from, head, bytes, hash };
    const name = segmentName(id, segment);
    await rename(draft, join(this.#dir, name));
    return { segment: { file: name, ...segment }, epoch, end: end! };
  }

  /** As far as their sizes say. What is in them, `backup verify` looks at. */
  async #areThere(segments: readonly Segment[]): Promise<boolean> {
    const sizes = await Promise.all(
      segments.map(({ file }) =>
        stat(join(this.#dir, file)).then(
          ({ size }) => size,
          () => -1,
        ),
      ),
    );
    return segments.every(({ bytes }, i) => bytes === sizes[i]);
  }

  async #assertThere(spaces: readonly SpaceBackup[]): Promise<void> {
    for (const { segments, name } of spaces) {
      if (!(await this.#areThere(segments)))
        throw new TidelogError(
          'store-failed',
          `files of ${name} in ${this.#dir} went away meanwhile; run it once more`,
        );
    }
  }
}

/** Faults of the disk, by what they say. */
function asStoreError(thrown: unknown, path: string): unknown {
  const { code, message } = thrown as NodeJS.ErrnoException;
  if (thrown instanceof TidelogError || typeof code !== 'string') return thrown;
  const kind = code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG' ? 'store-full' : 'store-failed';
  return new TidelogError(kind, `${path}: ${message}`, {}, { cause: thrown });
}
