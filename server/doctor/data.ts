/** What the node, or the opened data, says of itself: spaces, members, other devices. */
import type { DeviceView } from '../../client/status.ts';
import { CLOCK_AHEAD_MAX_US } from '../../protocol/constants.ts';
import type { SpaceStatus, StatusJson } from '../http/status.ts';
import type { RecoveryNotes } from '../recovery-notes.ts';
import { formatAgo } from '../terminal.ts';
import { bad, count, ok, warn, type Finding } from './finding.ts';

/** A clock that is further off decides between concurrent writes in a way that surprises people. */
const SKEW_MS_WARN = 60_000;
const LOOPBACK = /^https?:\/\/(127\.|localhost[:/]|localhost$|\[::1\])/;
/** How long a node of this machine may take to say that it is there. */
const PROBE_MS = 3000;

/** How long this node is reached at its addresses; those of this machine at least. */
export async function checkReach(url: string, status: StatusJson): Promise<Finding[]> {
  const findings: Finding[] = [];
  const isUp = await fetch(`${url}/healthz`, { signal: AbortSignal.timeout(PROBE_MS) }).then(
    ({ ok: isOk }) => isOk,
    () => false,
  );
  if (!isUp) findings.push(bad('port', `The node does not answer at ${url}`, 'Look at its log, and start it again.'));
  else if (status.addresses.every((address) => LOOPBACK.test(address)))
    findings.push(
      warn(
        'port',
        `The node answers at ${url}, and to this machine only: other devices cannot reach it, only be reached by it`,
        'Start it with --lan for the local network, or put a proxy with TLS before it (docs/OPERATIONS.md), unless that is what you want.',
      ),
    );
  else findings.push(ok('port', `The node answers at ${url}, and others reach it at ${status.addresses.join(', ')}`));
  return findings;
}

/** Against what others said of theirs when they greeted. */
export function checkClocks({ peers }: StatusJson): Finding[] {
  const known = peers.filter(({ clockSkewMs }) => clockSkewMs !== null);
  const findings = known.flatMap(({ name, id, clockSkewMs }): Finding[] => {
    const skewMs = clockSkewMs!;
    if (Math.abs(skewMs) <= SKEW_MS_WARN) return [];
    const side = skewMs > 0 ? 'ahead of' : 'behind';
    const says = `The clock of ${name || id.slice(0, 7)} is ${Math.round(Math.abs(skewMs) / 1000)} s ${side} this one`;
    const todo = 'Set both by the network; if most others agree with one of the two, it is the other that is wrong.';
    return [Math.abs(skewMs) * 1000 > CLOCK_AHEAD_MAX_US ? bad('clocks', says, todo) : warn('clocks', says, todo)];
  });
  if (findings.length > 0 || known.length === 0) return findings;
  return [ok('clocks', `${count(known.length, 'connected device')} within ${SKEW_MS_WARN / 1000} s of this one`)];
}

export function checkSpace(space: SpaceStatus, devices: readonly DeviceView[]): Finding[] {
  const findings: Finding[] = [];
  const { name, head, holes, conflicts } = space;
  if (holes > 0)
    findings.push(
      warn(
        'log',
        `${name}: ${count(holes, 'commit')} came without content, and no revocation explains it: a device withholds it`,
        'Connect to another device that has the space; what is missing is asked for there by itself.',
      ),
    );
  else findings.push(ok('log', `${name}: ${count(head, 'entry', 'entries')}, without holes`));
  const owners = devices.filter(({ role }) => role === 'owner');
  if (owners.length === 1) {
    const whose = owners[0]!.self ? 'this device' : owners[0]!.name || owners[0]!.id.slice(0, 7);
    findings.push(
      warn(
        'owners',
        `${name} has one owner, ${whose}: it is one lost laptop away from being closed to new devices, for good`,
        `${owners[0]!.self ? 'Make' : 'Have it make'} a key for paper, \`tidelog recovery create\`, or another device an owner: \`tidelog devices role DEVICE owner\`.`,
      ),
    );
  } else if (owners.length > 1) {
    const onPaper = owners.filter(({ recovery }) => recovery).length;
    const which = onPaper === 0 ? '' : `, ${count(onPaper, 'of them a recovery key', 'of them recovery keys')}`;
    findings.push(ok('owners', `${name} has ${owners.length} owners${which}`));
  }
  if (conflicts > 0)
    findings.push(
      warn(
        'conflicts',
        `${name}: ${count(conflicts, 'resource')} with a conflict to decide`,
        'See `tidelog conflicts`.',
      ),
    );
  return findings;
}

/** Keys that were made on this device. A paper that nobody has read again may have a slip of the pen in it. */
export function checkRecovery(devices: readonly DeviceView[], notes: RecoveryNotes): Finding[] {
  return devices.flatMap(({ id, name, role, recovery }): Finding[] => {
    const note = notes[id];
    if (!note || !recovery || role !== 'owner') return [];
    if (note.triedMs !== null)
      return [ok('recovery', `The words of ${name} were tried out ${formatAgo(note.triedMs)}`)];
    return [
      warn(
        'recovery',
        `The words of ${name} were never tried out since it was made here, ${formatAgo(note.createdMs)}`,
        '`tidelog recovery check` says whether what stands on the paper is right.',
      ),
    ];
  });
}

export function checkOthers({ peers, pending, warnings }: StatusJson): Finding[] {
  const findings: Finding[] = [];
  for (const { name, address, error } of peers) {
    if (error !== null)
      findings.push(
        warn(
          'connection',
          `${name || address || 'a device'}: ${error}`,
          'It is tried again by itself where that can help.',
        ),
      );
  }
  const connected = peers.filter((peer) => peer.connected).length;
  findings.push(ok('devices', `${count(peers.length, 'other device')}, ${connected} connected`));
  if (pending > 0)
    findings.push(warn('pairing', `${count(pending, 'device')} waiting to be let in`, 'See `tidelog pair pending`.'));
  for (const says of warnings) {
    // Said above, with what to do.
    if (says.startsWith('The clock of ') || says.includes('came erased') || says.includes('its one owner')) continue;
    findings.push(warn('warning', says, 'See the log of the node for when and how.'));
  }
  return findings;
}
