/**
 * What happens in a run, made from a seed before it begins: who is there, who dials whom, and a list of actions. Each action says all of itself, so that any
 * of them can be left out and the rest means the same; that is how a failure is made small.
 */
import type { Ops } from '../../protocol/body.ts';
import type { Role } from '../../protocol/membership.ts';
import type { DiskTraits } from './disk.ts';
import { Random } from './random.ts';

type Topology = 'line' | 'star' | 'ring' | 'mesh' | 'mirror';

export interface DeviceSpec {
  readonly role: Role;
  readonly traits: DiskTraits;
  /** Which end of each way that it has dials: itself, the other, or both. */
  readonly dials: 'own' | 'other' | 'both';
}

/** Devices are named by number, modulo how many there are by then. Times are ms. */
export type Action = { readonly gapMs: number } & (
  | {
      readonly do: 'write';
      readonly who: number;
      readonly changes: readonly (readonly [string, Ops])[];
      readonly times: number;
    }
  | {
      readonly do: 'partition';
      readonly from: number;
      readonly to: number;
      readonly oneWay: boolean;
      readonly forMs: number;
    }
  | { readonly do: 'isolate'; readonly who: number; readonly forMs: number }
  | { readonly do: 'reset'; readonly which: number }
  | { readonly do: 'halfOpen'; readonly which: number; readonly oneWay: boolean }
  | { readonly do: 'slow'; readonly from: number; readonly to: number; readonly rate: number; readonly forMs: number }
  | { readonly do: 'dialOther'; readonly who: number; readonly to: number }
  | { readonly do: 'crash'; readonly who: number; readonly machineToo: boolean; readonly downMs: number }
  | {
      readonly do: 'crashAtWrite';
      readonly who: number;
      readonly writes: number;
      readonly table: 'facts' | null;
      readonly downMs: number;
    }
  | { readonly do: 'restart'; readonly who: number; readonly downMs: number }
  | { readonly do: 'diskFull'; readonly who: number; readonly forMs: number }
  | { readonly do: 'diskSlow'; readonly who: number; readonly times: number; readonly forMs: number }
  | { readonly do: 'clock'; readonly who: number; readonly toMs: number | null; readonly byMs: number }
  | { readonly do: 'boot1970'; readonly who: number; readonly forMs: number }
  | { readonly do: 'join'; readonly at: number; readonly spec: DeviceSpec }
  | { readonly do: 'leave'; readonly who: number }
  | { readonly do: 'role'; readonly by: number; readonly who: number; readonly role: Role }
  | { readonly do: 'revoke'; readonly by: number; readonly who: number; readonly anyOwner: boolean }
  | { readonly do: 'backup'; readonly who: number }
  | { readonly do: 'rollback'; readonly who: number; readonly downMs: number; readonly waits: boolean }
  | { readonly do: 'copy'; readonly who: number }
  | { readonly do: 'look'; readonly who: number }
);

export type ActionKind = Action['do'];

export interface Scenario {
  readonly seed: string;
  readonly topology: Topology;
  readonly devices: readonly DeviceSpec[];
  readonly actions: readonly Action[];
}

const WEIGHTS: readonly (readonly [weight: number, kind: ActionKind])[] = [
  [40, 'write'],
  [5, 'partition'],
  [4, 'isolate'],
  [4, 'reset'],
  [3, 'halfOpen'],
  [2, 'slow'],
  [2, 'dialOther'],
  [6, 'crash'],
  [4, 'crashAtWrite'],
  [2, 'restart'],
  [2, 'diskFull'],
  [2, 'diskSlow'],
  [2, 'clock'],
  [1, 'boot1970'],
  [2, 'join'],
  [1, 'leave'],
  [2, 'role'],
  [1.5, 'revoke'],
  [2, 'backup'],
  [1.5, 'rollback'],
  [1.5, 'copy'],
  [4, 'look'],
];

export const ACTION_KINDS: readonly ActionKind[] = WEIGHTS.map(([, kind]) => kind);

export interface ScenarioOptions {
  readonly steps: number;
  /** Only these kinds of actions; all where nothing is said. */
  readonly kinds?: readonly ActionKind[];
}

export function makeScenario(seed: string, { steps, kinds }: ScenarioOptions): Scenario {
  const random = new Random(seed).fork('scenario');
  const manyOwners = random.chance(0.15);
  const topology = random.pick(['line', 'star', 'ring', 'mesh', 'mirror'] as const);
  const devices = Array.from({ length: random.int(topology === 'mirror' ? 3 : 2, 5) }, (_, i) =>
    makeDevice(random, roleAt(i)),
  );
  function roleAt(i: number): Role {
    if (i === 0) return 'owner';
    if (i === 1 && topology === 'mirror') return 'mirror';
    return random.weighted<Role>([
      [6, 'writer'],
      [manyOwners ? 12 : 2, 'owner'],
      [1, 'reader'],
      [1, 'mirror'],
    ]);
  }
  // A run has some of the kinds, and not all: what is rare beside all others is common in some runs.
  const chosen = kinds
    ? WEIGHTS.map(([weight, kind]) => [kinds.includes(kind) ? weight : 0, kind] as const)
    : WEIGHTS.map(([weight, kind]) => [kind === 'write' || random.chance(0.6) ? weight : 0, kind] as const);
  const pace = random.pick([20, 300, 3000]);
  // Mostly one person revokes. Where owners revoke each other, it is for the oracle to say who is left.
  const anyOwner = manyOwners ? 0.9 : 0.1;
  const actions = Array.from({ length: steps }, () => makeAction(random, random.weighted(chosen), pace, anyOwner));
  return { seed, topology, devices, actions };
}

function makeDevice(random: Random, role: Role): DeviceSpec {
  return {
    role,
    traits: {
      readsPending: random.chance(0.5),
      slowReads: random.chance(0.25),
      latencyUs: random.pick([100, 1000, 8000]),
    },
    dials: random.pick(['own', 'other', 'both']),
  };
}

const ANY = 1000;

function makeAction(random: Random, kind: ActionKind, pace: number, anyOwner: number): Action {
  const gapMs = random.chance(0.03) ? random.int(20_000, 120_000) : random.int(0, pace);
  const who = random.int(0, ANY);
  const to = random.int(0, ANY);
  const forMs = random.pick([200, 3000, 40_000, 150_000]);
  switch (kind) {
    case 'write': {
      const changes = makeChanges(random);
      const times = random.pick([1, 1, 1, 2, 5, 40]);
      return { gapMs, do: 'write', who, changes, times: isLarge(changes) ? 1 : times };
    }
    case 'partition':
      return { gapMs, do: 'partition', from: who, to, oneWay: random.chance(0.3), forMs };
    case 'isolate':
      return { gapMs, do: 'isolate', who, forMs };
    case 'reset':
      return { gapMs, do: 'reset', which: who };
    case 'halfOpen':
      return { gapMs, do: 'halfOpen', which: who, oneWay: random.chance(0.5) };
    case 'slow':
      return { gapMs, do: 'slow', from: who, to, rate: random.pick([0.5, 5, 50]), forMs };
    case 'dialOther':
      return { gapMs, do: 'dialOther', who, to };
    case 'crash':
      return { gapMs, do: 'crash', who, machineToo: random.chance(0.4), downMs: random.pick([0, 500, 5000, 60_000]) };
    case 'crashAtWrite': {
      // A commit on members is followed by writes that finish what it began.
      const table = random.chance(0.4) ? 'facts' : null;
      const writes = table ? 0 : random.int(0, 5);
      return { gapMs, do: 'crashAtWrite', who, writes, table, downMs: random.pick([0, 500, 5000]) };
    }
    case 'restart':
      return { gapMs, do: 'restart', who, downMs: random.pick([0, 1000, 20_000]) };
    case 'diskFull':
      return { gapMs, do: 'diskFull', who, forMs };
    case 'diskSlow':
      return { gapMs, do: 'diskSlow', who, times: random.pick([10, 100]), forMs: Math.min(forMs, 3000) };
    case 'clock': {
      const day = 24 * 3600_000;
      return {
        gapMs,
        do: 'clock',
        who,
        toMs: null,
        byMs: random.pick([-40 * day, -3600_000, -5000, 0.9 * day, 30_000, 3 * day, 400 * day]),
      };
    }
    case 'boot1970':
      return { gapMs, do: 'boot1970', who, forMs };
    case 'join':
      return {
        gapMs,
        do: 'join',
        at: who,
        spec: makeDevice(random, random.pick(['writer', 'writer', 'owner', 'reader', 'mirror'])),
      };
    case 'leave':
      return { gapMs, do: 'leave', who };
    case 'role':
      return { gapMs, do: 'role', by: who, who: to, role: random.pick(['owner', 'writer', 'reader', 'mirror']) };
    case 'revoke':
      return { gapMs, do: 'revoke', by: who, who: to, anyOwner: random.chance(anyOwner) };
    case 'backup':
      return { gapMs, do: 'backup', who };
    case 'rollback':
      return { gapMs, do: 'rollback', who, downMs: random.pick([40_000, 90_000]), waits: random.chance(0.5) };
    case 'copy':
      return { gapMs, do: 'copy', who };
    case 'look':
      return { gapMs, do: 'look', who };
  }
}

const SUBJECTS = ['a', 'b', 'note/1', 'note/2'];
const PROPERTIES = ['x', 'y', 'z'];

function makeChanges(random: Random): (readonly [string, Ops])[] {
  const subjects = new Set(Array.from({ length: random.pick([1, 1, 1, 2, 3]) }, () => random.pick(SUBJECTS)));
  return [...subjects].map((subject) => [subject, makeOps(random)]);
}

function makeOps(random: Random): Ops {
  const ops: { -readonly [K in keyof Ops]: Ops[K] } = {};
  if (random.chance(0.08)) ops.destroy = true;
  for (const property of PROPERTIES) {
    if (!random.chance(0.5)) continue;
    const value = random.pick(['p', 'q', 7, 12, true, false, null, 'a longer text that says more']);
    // An element that is null or a text, a small number or a boolean.
    const values = [random.pick(['p', 'q', 7, true])];
    switch (
      random.weighted([
        [5, 'set'],
        [1, 'unset'],
        [3, 'inc'],
        [3, 'add'],
        [2, 'remove'],
      ] as const)
    ) {
      case 'set':
        ops.set = { ...ops.set, [property]: random.chance(0.01) ? largeText(random) : value };
        break;
      case 'unset':
        ops.unset = [...(ops.unset ?? []), property];
        break;
      case 'inc':
        ops.inc = { ...ops.inc, [property]: random.int(-3, 5) };
        break;
      case 'add':
        ops.add = { ...ops.add, [property]: values };
        break;
      case 'remove':
        ops.remove = { ...ops.remove, [property]: values };
        break;
    }
  }
  if (Object.keys(ops).length === 0) ops.set = { x: random.int(0, 100) };
  return ops;
}

/** One that packing makes no smaller: for socket buffers, credit, and messages of several frames. */
function largeText(random: Random): string {
  return Buffer.from(random.bytes(random.pick([5000, 70_000, 500_000]))).toString('base64');
}

function isLarge(changes: readonly (readonly [string, Ops])[]): boolean {
  return changes.some(([, { set }]) => Object.values(set ?? {}).some((value) => String(value).length > 1000));
}
