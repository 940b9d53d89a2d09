/** What needs a person, in words, and what to do about it. */
import type { ViewName } from './route.ts';
import type { Health, Status, Verification } from './source.ts';
import { ago, bytes, nameOf, plural } from './words.ts';

export interface Warning {
  readonly says: string;
  readonly todo: string | null;
  /** Where it is dealt with in this page. */
  readonly view: ViewName | null;
}

const DAY_MS = 24 * 3600_000;
/** A device that nobody has seen for so long holds up nothing, but has nothing new either. */
const ABSENT_MS = 14 * DAY_MS;
const BACKUP_OLD_MS = 30 * DAY_MS;
/** Below it, and below as much as the log takes once more, there is no room to work. */
const FREE_BYTES_MIN = 1_000_000_000;

/** The node's own words: what is so, and after that, where there is more, what to do. */
function fromStatus(text: string): Warning {
  const [, says = text, todo = ''] = /^(.*?\.) (.+)$/.exec(text) ?? [];
  return { says, todo: todo === '' ? null : todo, view: null };
}

export function warningsOf(status: Status, { samples }: Health, { backup }: Verification, nowMs: number): Warning[] {
  const warnings: Warning[] = status.warnings.map(fromStatus);
  const conflicts = status.spaces.reduce((sum, space) => sum + space.conflicts, 0);
  if (conflicts > 0)
    warnings.push({
      says: `${plural(conflicts, 'resource')} ${conflicts === 1 ? 'was' : 'were'} written in two places at once.`,
      todo: 'Choose what counts.',
      view: 'conflicts',
    });
  if (status.pending > 0)
    warnings.push({
      says: `${plural(status.pending, 'device')} ${status.pending === 1 ? 'waits' : 'wait'} to be let in.`,
      todo: 'Compare the digits, and decide.',
      view: 'pair',
    });
  for (const peer of status.peers) {
    if (peer.id === '' || peer.connected || peer.lastSeenMs === null || nowMs - peer.lastSeenMs < ABSENT_MS) continue;
    warnings.push({
      says: `${nameOf(peer)} was last seen ${ago(peer.lastSeenMs, nowMs)}.`,
      todo: 'Start it, so that it catches up; or revoke it if it is gone.',
      view: 'devices',
    });
  }
  const { freeBytes = null, logBytes = 0 } = samples.at(-1) ?? {};
  if (freeBytes !== null && freeBytes < Math.max(FREE_BYTES_MIN, logBytes))
    warnings.push({
      says: `The disk has ${bytes(freeBytes)} left.`,
      todo: 'Make room: a node whose disk is full takes no writes.',
      view: null,
    });
  const proven = status.lastProvenRestorable;
  const commits = status.spaces.reduce((sum, space) => sum + space.commits, 0);
  if (commits > 0 && proven === null && backup === null)
    warnings.push({
      says: 'There is no backup that this node knows of.',
      todo: 'Make one with `tidelog backup create DIR`, and set `backupDir`, so that it is verified too.',
      view: null,
    });
  if (proven !== null && nowMs - proven.atMs > BACKUP_OLD_MS)
    warnings.push({
      says: `The last backup that was found good was looked at ${ago(proven.atMs, nowMs)}.`,
      todo: 'Bring it up to date: `tidelog backup create` with the same folder copies only what is new.',
      view: null,
    });
  return warnings;
}
