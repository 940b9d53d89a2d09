/**
 * Which recovery keys were made here, and when each was last tried out: a file in the data folder. It holds no secret. Only here, because only who
 * made one has its paper at hand.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';

import { writeFileDurably } from './durable.ts';

const FILE = 'recovery.json';
const ms = v.pipe(v.number(), v.integer(), v.minValue(0));
/** By device ID. */
const NotesSchema = v.record(v.string(), v.strictObject({ createdMs: ms, triedMs: v.nullable(ms) }));
export type RecoveryNotes = v.InferOutput<typeof NotesSchema>;

/** What can't be read was never noted. */
export async function readRecoveryNotes(dataDir: string): Promise<RecoveryNotes> {
  try {
    return v.parse(NotesSchema, JSON.parse(await readFile(join(dataDir, FILE), 'utf8')));
  } catch {
    return {};
  }
}

export async function noteRecoveryMade(dataDir: string, id: string, atMs: number): Promise<void> {
  await write(dataDir, { ...(await readRecoveryNotes(dataDir)), [id]: { createdMs: atMs, triedMs: null } });
}

/** Nothing where it was made elsewhere. */
export async function noteRecoveryTried(dataDir: string, id: string, atMs: number): Promise<void> {
  const notes = await readRecoveryNotes(dataDir);
  const note = notes[id];
  if (note) await write(dataDir, { ...notes, [id]: { ...note, triedMs: atMs } });
}

async function write(dataDir: string, notes: RecoveryNotes): Promise<void> {
  await writeFileDurably(join(dataDir, FILE), `${JSON.stringify(notes)}\n`, 0o600);
}
