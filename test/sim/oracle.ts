/**
 * The judge. It knows what was acknowledged, reads what disks and peers have, and what should be so by commits.ts, model-members.ts and model-merge.ts;
 * of the product's code it uses nothing to judge by.
 */
import type { Change } from '../../protocol/body.ts';
import { parseDeviceId } from '../../protocol/device-id.ts';
import type { LoggedCommit, ResourceView } from '../../client/views.ts';
import { decodeSpace } from '../../client/tables.ts';
import { readForks, readSetAside } from './branches.ts';
import { readLog, sha256, type Commit } from './commits.ts';
import type { Device } from './device.ts';
import type { Image } from './disk.ts';
import { forkedFrom, forkedFromOf, mergingPasts, standingOf, type ForkedFrom, type KnownFork } from './model-forks.ts';
import { changesMembers, hadSeen, MembersModel, pasts, type Judgement } from './model-members.ts';
import { canonical, stateOf, type StateModel } from './model-merge.ts';
import { Violation } from './world.ts';

/** A write that a simulated user asked for. Each says its own number in one of its changes. */
export interface AskedWrite {
  readonly number: number;
  readonly device: Device;
  readonly changes: readonly Change[];
  outcome: 'open' | 'stored' | 'refused';
}

/** The subject and property in which a write says its number. */
export const MARK_SUBJECT = 'mark';
export const MARK_PROPERTY = 'n';

const hexOfId = new Map<string, string>();
function deviceOfId(id: string): string {
  let hex = hexOfId.get(id);
  if (hex === undefined) hexOfId.set(id, (hex = Buffer.from(parseDeviceId(id)).toString('hex')));
  return hex;
}

/** What is on a disk. */
interface Content {
  readonly log: readonly Commit[];
  readonly epoch: string;
  readonly forks: readonly KnownFork[];
  readonly setAside: readonly Commit[];
}

/** What one log says, worked out once for all that have the same. */
export interface Picture {
  readonly digest: string;
  /** By commit id. */
  readonly judgements: ReadonlyMap<string, Judgement>;
  readonly state: StateModel;
}

export class Oracle {
  space: Uint8Array | null = null;
  readonly #writes: AskedWrite[] = [];
  /** Device → commit ids that it has acknowledged and must have. */
  readonly #stored = new Map<Device, Set<string>>();
  /** As long as a disk's version is the same. */
  readonly #disks = new Map<Device, Content & { readonly version: number }>();
  /** Device → its log when it was last looked at: all later ones of the same epoch begin so. */
  readonly #seenLogs = new Map<Device, { readonly epoch: string; readonly ids: readonly string[] }>();
  /** Place in its chain → ids, of all commits that were ever seen anywhere. */
  readonly #idsByPlace = new Map<string, Set<string>>();
  /** Chains of which two commits with one place were seen. */
  readonly #hasForked = new Set<string>();
  /** Chain → who knows of a fork of it. The other branch may be on a disk that is looked at later. */
  readonly #claims = new Map<string, string>();
  /** Number of a write → id of its commit. */
  readonly #idByNumber = new Map<number, string>();
  readonly #pictures = new Map<string, Picture>();
  /** Devices (hex) whose chains may fork: a copy runs beside them, or they went on writing after their disk went back. */
  readonly mayFork = new Set<string>();

  get writes(): readonly AskedWrite[] {
    return this.#writes;
  }

  asked(device: Device, makeChanges: (number: number) => readonly Change[]): AskedWrite {
    const number = this.#writes.length + 1;
    const write: AskedWrite = { number, device, changes: makeChanges(number), outcome: 'open' };
    this.#writes.push(write);
    return write;
  }

  /** `stored` resolved: from now on its disk has it, whatever comes. */
  stored(device: Device, write: AskedWrite | null, id: string, cursor: string): void {
    if (write) write.outcome = 'stored';
    const ids = this.#stored.get(device) ?? new Set();
    this.#stored.set(device, ids.add(id));
    const { log, epoch, setAside } = this.#content(device);
    // The log was made anew before anybody could look: its positions are others.
    if (!cursor.startsWith(epoch) && this.mayFork.size > 0 && [...log, ...setAside].some((each) => each.id === id))
      return;
    const position = Number(cursor.split('-')[1]);
    const commit = log[position - 1];
    if (commit?.id !== id)
      throw new Violation(
        'acknowledged',
        `${device.name} acknowledged ${id} at ${position}, where its disk has ${commit?.id}`,
      );
    if (commit.device !== device.hex) throw new Violation('acknowledged', `${id} is by another device`);
    if (write && canonical(commit.changes) !== canonical(write.changes.map(({ subject, ops }) => [subject, ops])))
      throw new Violation('acknowledged', `${id} says other than what was asked: ${canonical(commit.changes)}`);
    this.#checkPastIsAll(log.slice(0, position));
  }

  /** What its author had stood before it in its own log, and all of that. */
  #checkPastIsAll(log: readonly Commit[]): void {
    const last = log.at(-1)!;
    const past = pasts(log).get(last)!;
    for (const commit of log.slice(0, -1))
      if (!hadSeen(past, commit))
        throw new Violation('causal order', `${last.id} doesn't name ${commit.id}, which its author had`);
  }

  /** Its disk becomes that of an earlier day. What it had and nobody else has is lost, as if it had never been. */
  rollsBack(device: Device, image: Image, others: readonly Device[]): void {
    const before = this.#content(device);
    const then = this.#read(image, device.name);
    const ids = then.log.map(({ id }) => id);
    this.#seenLogs.set(device, { epoch: then.epoch, ids });
    const there = new Set([...ids, ...then.setAside.map(({ id }) => id)]);
    const left = new Set(there);
    for (const other of others) {
      const { log, setAside } = this.#content(other);
      for (const { id } of [...log, ...setAside]) left.add(id);
    }
    for (const commit of [...before.log, ...before.setAside]) if (!left.has(commit.id)) this.#forget(commit);
    this.#stored.set(device, new Set([...(this.#stored.get(device) ?? [])].filter((id) => there.has(id))));
  }

  #forget({ chain, seq, id }: Commit): void {
    this.#idsByPlace.get(`${chain} ${seq}`)?.delete(id);
    for (const [number, of] of this.#idByNumber) if (of === id) this.#idByNumber.delete(number);
  }

  /** A second device has its disk and its key: what the one has to keep, the other has to. */
  copies(device: Device, copy: Device): void {
    this.mayFork.add(device.hex);
    const there = new Set(this.log(device).map(({ id }) => id));
    this.#stored.set(copy, new Set([...(this.#stored.get(device) ?? [])].filter((id) => there.has(id))));
  }

  /** The log on its disk, which only ever grows at its end, but where forks are settled. */
  log(device: Device): readonly Commit[] {
    return this.#content(device).log;
  }

  #content(device: Device): Content {
    const { version } = device.disk;
    const read = this.#disks.get(device);
    if (read?.version === version && this.space) return read;
    const content = this.#read(device.disk.durable, device.name);
    const { log, epoch, setAside } = content;
    const before = this.#seenLogs.get(device);
    const aside = new Set(before && before.epoch !== epoch ? setAside.map(({ id }) => id) : []);
    const kept = (before?.ids ?? []).filter((id) => !aside.has(id));
    for (const [i, id] of kept.entries())
      if (log[i]?.id !== id)
        throw new Violation(
          'nothing lost',
          `${device.name} had ${id} at ${i + 1}, and now has ${log[i]?.id ?? 'nothing'} there`,
        );
    this.#seenLogs.set(device, { epoch, ids: log.map(({ id }) => id) });
    this.#disks.set(device, { version, ...content });
    return content;
  }

  /** Gap-free, causal, each once; and nothing that any other log contradicts. */
  #read(image: Image, name: string): Content {
    const { space } = this;
    const log = (space && readLog(image, space)) ?? [];
    const record = space && image.get('spaces', space);
    const forks = record ? readForks(image, space) : [];
    const forked = forkedFrom(forks);
    const heads = new Map<string, Commit>();
    for (const commit of log) {
      const { chain, seq, id, prev, deps } = commit;
      const head = heads.get(chain);
      if (seq !== (head?.seq ?? 0) + 1)
        throw new Violation('no gap, no double', `${name}: seq ${seq} of ${chain} follows ${head?.seq ?? 0}`);
      if (prev !== (head?.id ?? '0'.repeat(64)))
        throw new Violation('no gap, no double', `${name}: ${id} is not linked`);
      for (const [other, upTo] of deps) {
        // Of a branch that was taken out: what its author had seen of it counts as all of the one that stands (6.1).
        const needed = Math.min(upTo, (forked.get(other) ?? Number.POSITIVE_INFINITY) - 1);
        if ((heads.get(other)?.seq ?? 0) < needed)
          throw new Violation(
            'causal order',
            `${name}: ${id} stands before seq ${needed} of ${other}, which its author had seen`,
          );
      }
      if (head && commit.time <= head.time)
        throw new Violation('clock', `${name}: ${id} is not later than the one before it`);
      heads.set(chain, commit);
      this.#note(commit, name);
    }
    if (!record) return { log, epoch: '', forks, setAside: [] };
    const setAside = readSetAside(image, space);
    for (const commit of setAside) this.#note(commit, name);
    for (const { chain, seq, ids } of forks)
      this.#claims.set(chain, `${name} knows of ${ids.join(' and ')} at seq ${seq} of ${chain}, which never forked`);
    return { log, epoch: Buffer.from(decodeSpace(record).epoch).toString('hex'), forks, setAside };
  }

  #note({ chain, device, seq, id, changes }: Commit, name: string): void {
    const place = `${chain} ${seq}`;
    const known = this.#idsByPlace.get(place) ?? new Set();
    if (known.has(id)) return;
    if (known.size > 0 && !this.mayFork.has(device))
      throw new Violation(
        'no fork',
        `${name} has ${id} at seq ${seq} of ${chain}, where others have ${[...known].join(' ')}`,
      );
    if (known.size > 0) this.#hasForked.add(chain);
    this.#idsByPlace.set(place, known.add(id));
    for (const [subject, ops] of changes ?? []) {
      const number = ops.set?.[MARK_PROPERTY];
      if (!subject.startsWith(MARK_SUBJECT) || typeof number !== 'number') continue;
      if ((this.#idByNumber.get(number) ?? id) !== id)
        throw new Violation('no double', `write ${number} was committed twice`);
      this.#idByNumber.set(number, id);
      if (this.#writes[number - 1]!.outcome === 'refused')
        throw new Violation(
          'refused',
          `write ${number} was refused with nothing written, and is in the log of ${name}`,
        );
    }
  }

  /** What a device acknowledged it has, if nothing took its disk away. */
  checkStored(device: Device): void {
    const { log, setAside } = this.#content(device);
    const there = new Set([...log, ...setAside].map(({ id }) => id));
    for (const id of this.#stored.get(device) ?? [])
      if (!there.has(id)) throw new Violation('nothing lost', `${device.name} acknowledged ${id} and hasn't got it`);
  }

  // ---- what a log says

  picture(device: Device): Picture {
    const { log, forks } = this.#content(device);
    const heads = new Map(log.map((commit) => [commit.chain, commit]));
    const digest = digestOf([...heads.values()]);
    const from = forkedFrom(forks);
    // Who holds what is erased knows less of it, so who has the bodies is not the same as who hasn't.
    const erased = log.filter(({ changes }) => changes === null).length;
    const key = `${digest} ${erased} ${canonical([...from].toSorted())}`;
    let picture = this.#pictures.get(key);
    if (!picture) this.#pictures.set(key, (picture = makePicture(log, digest, from)));
    return picture;
  }

  /** Who is what by everything that the given devices have, and that stands. */
  membersOf(devices: readonly Device[]): MembersModel {
    const { commits, from } = this.#standing(devices);
    const pastByCommit = pasts(commits);
    const sure = mergingPasts(commits, pastByCommit, from);
    return new MembersModel(commits[0]?.device ?? '', pastByCommit, sure, deviceOfId);
  }

  /** Of all that these devices have, in their logs or set aside, what counts in the end. */
  #standing(devices: readonly Device[]): { commits: readonly Commit[]; from: ForkedFrom } {
    const byId = new Map<string, Commit>();
    const forks: KnownFork[] = [];
    for (const device of devices) {
      const content = this.#content(device);
      for (const commit of [...content.log, ...content.setAside])
        if (!byId.get(commit.id)?.changes) byId.set(commit.id, commit);
      forks.push(...content.forks);
    }
    const all = [...byId.values()];
    if (this.mayFork.size === 0) return { commits: all, from: new Map() };
    return { commits: [...standingOf(all, forks, deviceOfId)], from: forkedFromOf(all, forks) };
  }

  /** Do they all know of the same forks? */
  knowSameForks(devices: readonly Device[]): boolean {
    return (
      new Set(devices.map((device) => canonical([...forkedFrom(this.#content(device).forks)].toSorted()))).size <= 1
    );
  }

  /** Every branch that counts is in every log, and no other. */
  checkBranches(devices: readonly Device[]): void {
    for (const device of devices) this.log(device);
    for (const [chain, claim] of this.#claims) if (!this.#hasForked.has(chain)) throw new Violation('no fork', claim);
    if (this.mayFork.size === 0) return;
    const meant = new Set(this.#standing(devices).commits.map(({ id }) => id));
    for (const device of devices) {
      const ids = new Set(this.log(device).map(({ id }) => id));
      for (const id of meant)
        if (!ids.has(id)) throw new Violation('forks', `${device.name} lacks ${id}, which stands`);
      for (const id of ids)
        if (!meant.has(id)) throw new Violation('forks', `${device.name} has ${id}, which doesn't stand`);
    }
  }

  // ---- what a peer shows

  checkDigest(device: Device, digest: string): void {
    const is = this.picture(device).digest;
    if (is !== digest) throw new Violation('digest', `${device.name} says ${digest}, and what it has makes ${is}`);
  }

  checkLog(device: Device, shown: readonly LoggedCommit[]): void {
    const log = this.log(device);
    const fault = (what: string): never => {
      throw new Violation('log', `${device.name} shows ${what}`);
    };
    if (shown.length !== log.length) fault(`${shown.length} commits, and has ${log.length}`);
    const { judgements } = this.picture(device);
    for (const [i, commit] of log.entries()) {
      const { id, device: author, erased, time, changes } = shown[i]!;
      if (id !== commit.id) fault(`${id} at ${i + 1}, and has ${commit.id}`);
      if (deviceOfId(author) !== commit.device) fault(`${id} as another's`);
      if (erased !== (commit.changes === null)) fault(`${id} ${erased ? '' : 'not '}erased, and has it otherwise`);
      const isVoid = judgements.get(commit.id) === 'void' && !changesMembers(commit);
      if (erased !== isVoid)
        throw new Violation(
          'revocation',
          `${device.name} has ${id} ${erased ? 'erased, and nothing revokes it' : 'with its changes, and it is void'}`,
        );
      if (erased) continue;
      if (time !== commit.time) fault(`${id} at another time`);
      if (canonical(changes.map(({ subject, ops }) => [subject, ops])) !== canonical(commit.changes))
        fault(`${id} with other changes`);
    }
  }

  /** `shown`: every resource whose subject begins with one of the prefixes, or not with any. */
  checkState(device: Device, shown: readonly ResourceView[], isMeant: (subject: string) => boolean): void {
    const { state } = this.picture(device);
    const meant = [...state.keys()].filter(isMeant).toSorted();
    const fault = (what: string): never => {
      throw new Violation('state', `${device.name} shows ${what}`);
    };
    const subjects = shown.map(({ subject }) => subject).toSorted();
    if (canonical(subjects) !== canonical(meant)) fault(`${subjects.join(' ')}, and there are ${meant.join(' ')}`);
    for (const { subject, value, meta } of shown) {
      const properties = state.get(subject)!;
      const expected = Object.fromEntries([...properties].map(([name, property]) => [name, property.value]));
      if (canonical(value) !== canonical(expected))
        fault(`${subject} as ${canonical(value)}, and it is ${canonical(expected)}`);
      for (const [name, { conflict }] of properties) {
        const alternatives = meta[name]!.conflict.map((each) => each.value);
        if (canonical(alternatives) !== canonical(conflict))
          fault(`on ${subject} ${name} the conflict ${canonical(alternatives)}, and it is ${canonical(conflict)}`);
      }
    }
  }
}

function digestOf(heads: readonly Commit[]): string {
  const parts = heads
    .toSorted((a, b) => (a.chain < b.chain ? -1 : 1))
    .map(({ chain, seq, id }) => `${chain}${seq.toString(16).padStart(16, '0')}${id}`);
  return Buffer.from(sha256('tidelog/1 digest', Buffer.from(parts.join(''), 'hex'))).toString('hex');
}

function makePicture(log: readonly Commit[], digest: string, from: ForkedFrom): Picture {
  const pastByCommit = pasts(log);
  const sure = mergingPasts(log, pastByCommit, from);
  const members = new MembersModel(log[0]?.device ?? '', pastByCommit, sure, deviceOfId);
  const judgements = new Map(log.map((commit) => [commit.id, members.judge(commit)]));
  for (const { id, device } of log)
    if (judgements.get(id) === 'unauthorized') throw new Violation('unauthorized', `${id} by ${device} was let in`);
  const counting = log.filter(({ id }) => judgements.get(id) === 'counts');
  return { digest, judgements, state: stateOf(counting, sure) };
}
