/** A space's own audit: its log and its state, in pieces beside whatever else is done. */
import { formatDeviceId } from '../protocol/device-id.ts';
import { fromHex } from '../protocol/bytes.ts';
import type { ErrorCode } from '../protocol/errors.ts';
import type { Platform } from './platform.ts';
import { auditLog, type AuditHost, type Finding, type LogAudit } from './replica/audit.ts';
import { auditState, type StateAudit } from './replica/audit-state.ts';
import type { Log } from './replica/log.ts';
import { newPace } from './replica/pace.ts';
import type { View } from './replica/view.ts';
import type { Writer } from './replica/writer.ts';
import type { Store } from './store.ts';

export interface AuditOptions {
  /** Rests after each few milliseconds of work; told for how long was worked. Without it others are let run, and then it goes on. */
  readonly rest?: (workedMs: number) => Promise<void>;
  readonly onProgress?: (step: 'log' | 'state', done: number, total: number) => void;
}

/** What is wrong, or worth knowing, in one place. */
interface AuditNote {
  readonly code: ErrorCode;
  readonly says: string;
  /** In this peer's log; null where it is about no single place. */
  readonly position: number | null;
}

export interface SpaceAudit {
  readonly id: string;
  readonly name: string;
  /** Everything up to this position was looked at. */
  readonly head: number;
  readonly commits: number;
  readonly erased: number;
  readonly resources: number;
  readonly devices: readonly { readonly id: string; readonly commits: number }[];
  /** Of the first commit and the latest, µs since 1970. */
  readonly fromUs: number | null;
  readonly untilUs: number | null;
  /** What is wrong; empty where all is well. */
  readonly findings: readonly AuditNote[];
  /** What is allowed, and worth knowing. */
  readonly notes: readonly AuditNote[];
}

/** Each revocation that comes in the middle makes it begin again. */
const TRIES = 5;
const NOTES_MAX = 20;

export async function auditSpace(
  platform: Platform,
  store: Store,
  { view, log, writer }: { readonly view: View; readonly log: Log; readonly writer: Writer },
  { rest = () => platform.turn(), onProgress }: AuditOptions,
): Promise<SpaceAudit> {
  const { crypto, codecs } = platform;
  let step: 'log' | 'state' = 'log';
  const host: AuditHost = {
    crypto,
    codecs,
    store,
    view,
    log,
    pace: newPace(() => platform.nowMs(), rest),
    nowUs: () => platform.nowUs(),
    quiet: (look) => writer.quiet(look),
    rewrites: () => writer.rewrites,
    onProgress: (done, total) => onProgress?.(step, done, total),
  };
  const ofLog = await again(() => auditLog(host));
  step = 'state';
  const { name, hex: id } = view;
  if (!ofLog) return { ...NOTHING, id, name, findings: [UNSTEADY] };
  // Of a log that is damaged nobody can say what state it gives.
  const ofState = ofLog.findings.length > 0 ? NOT_COMPARED : await again(() => auditState(host));
  return summary({ id, name }, ofLog, ofState, view.holes.size);
}

async function again<T>(look: () => Promise<T | null>): Promise<T | null> {
  for (let tries = 1; tries <= TRIES; tries++) {
    const seen = await look();
    if (seen !== null) return seen;
  }
  return null;
}

const UNSTEADY: Finding = {
  code: 'aborted',
  says: 'revocations came again and again while it was looked at; verify once more',
  position: null,
};
const NOT_COMPARED: StateAudit = { resources: 0, findings: [] };
const NOTHING = {
  head: 0,
  commits: 0,
  erased: 0,
  resources: 0,
  devices: [],
  fromUs: null,
  untilUs: null,
  findings: [],
  notes: [],
};

function summary(
  { id, name }: { id: string; name: string },
  { head, commits, erased, entriesByDevice, fromUs, untilUs, vouched, findings }: LogAudit,
  ofState: StateAudit | null,
  holes: number,
): SpaceAudit {
  const notes = vouched.slice(0, NOTES_MAX).map((position): AuditNote => {
    const says = 'its own signature does not verify; a later one of its chain vouches for it';
    return { code: 'bad-signature', says, position };
  });
  if (holes > 0) {
    const says = `${holes} commits stand erased, and no revocation explains it; others are asked for them`;
    notes.push({ code: 'data-damaged', says, position: null });
  }
  return {
    id,
    name,
    head,
    commits,
    erased,
    resources: ofState?.resources ?? 0,
    devices: [...entriesByDevice].map(([device, count]) => ({ id: formatDeviceId(fromHex(device)!), commits: count })),
    fromUs,
    untilUs,
    findings: [...findings, ...(ofState?.findings ?? [UNSTEADY])],
    notes,
  };
}
