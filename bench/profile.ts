/**
 * `npm run bench:profile`: where the time goes, by stage, in µs for each commit or resource; and the bytes. From CPU profiles of the processes, their
 * threads apart, within the time of the work.
 *
 *   npm run bench:profile                        a cold sync to a full node
 *   npm run bench:profile -- --of mirror         or: packed, writes, writes-64, import, live; all: each of them
 *   npm run bench:profile -- --out FILE          for scripts/bench-table.ts, which puts it into README.md
 *   npm run bench:profile -- --json
 *
 * The profiler itself takes a tenth or so: compare its rows, and take speeds from `npm run bench`.
 */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { sharedNowMs } from './calls.ts';
import { Lab, type Sizes } from './lab.ts';
import { BenchNode } from './node.ts';
import type { Local } from './programs/local.ts';
import type { Received } from './programs/receive.ts';
import { cpuSecondsOf } from './proc.ts';
import { machineHere } from './report.ts';
import { PER_COMMIT } from './rows/packed.ts';
import { stagesOf, summaryOf, tableOf, type Column, type CpuProfile, type Profile } from './stages.ts';
import { runProgram, tidelog, writeNdjson, withFolder } from './support.ts';
import { Together } from './together.ts';

const SAMPLE_US = 200;
/** Writes before those that are looked at; V8 is done with its code after some thousands. */
const WARM_UP = 4000;

/** What a work gives to be profiled. */
interface Worked {
  readonly title: string;
  /** What the figures are for each of, and how many there were. */
  readonly unit: string;
  readonly count: number;
  /** By the machine's shared clock. */
  readonly window: { readonly fromMs: number; readonly toMs: number };
  /** CPU in seconds where it could be told for the window alone. */
  readonly processes: readonly { readonly name: string; readonly folder: string; readonly cpuSeconds: number | null }[];
  readonly bytes: Profile['bytes'];
}

const WORKS: Readonly<Record<string, (lab: Lab) => Promise<Worked>>> = {
  'cold-sync': (lab) => coldSync(lab, 200_000, 1, 'writer'),
  mirror: (lab) => coldSync(lab, 400_000, 1, 'mirror'),
  packed: (lab) => coldSync(lab, 10_000, PER_COMMIT, 'writer'),
  writes: (lab) => writes(lab, 10_000, 1),
  'writes-64': (lab) => writes(lab, 100_000, 64),
  import: imports,
  live,
};

const { values } = parseArgs({
  options: {
    of: { type: 'string', default: 'cold-sync' },
    out: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});
const wanted = values.of === 'all' ? Object.keys(WORKS) : values.of.split(',');
const unknown = wanted.filter((of) => !Object.hasOwn(WORKS, of));
if (unknown.length > 0) {
  process.stderr.write(`there is no ${unknown.join(', ')}; there are ${Object.keys(WORKS).join(', ')}, and all\n`);
  process.exit(2);
}
const profiles: Profile[] = [];
for (const of of wanted) {
  const profile = await withFolder((folder) => profileOf(of, folder));
  profiles.push(profile);
  if (!values.json) process.stdout.write(plainTable(profile));
}
if (values.out !== undefined) await writeFile(values.out, `${JSON.stringify({ profiles }, null, 2)}\n`);
if (values.json) process.stdout.write(`${JSON.stringify({ profiles })}\n`);
process.exit();

async function profileOf(of: string, folder: string): Promise<Profile> {
  const { title, unit, count, window, processes, bytes } = await WORKS[of]!(new Lab(folder, {} as Sizes));
  const columns: Column[] = [];
  for (const { name, folder: profileFolder } of processes)
    columns.push(...(await columnsOf(name, profileFolder, window, count)));
  return {
    of,
    title,
    unit,
    date: new Date().toISOString().slice(0, 10),
    machine: machineHere(),
    columns,
    wall: ((window.toMs - window.fromMs) * 1000) / count,
    cpu: processes.flatMap(({ name, cpuSeconds }) =>
      cpuSeconds === null ? [] : [{ name, us: (cpuSeconds * 1e6) / count }],
    ),
    bytes,
  };
}

async function coldSync(lab: Lab, commits: number, perCommit: number, role: 'writer' | 'mirror'): Promise<Worked> {
  const { dataDir } = await lab.sender({ commits, perCommit });
  const [sender, receiver] = [lab.path('sender-profile'), lab.path('receiver-profile')];
  const node = await BenchNode.start(dataDir, { flags: profiling(sender) });
  const link = await node.invite(role);
  const cpuBefore = cpuSecondsOf(node.pid);
  const received = await runProgram<Received>('receive', [link, lab.path('receiver')], profiling(receiver));
  const senderCpu = cpuSecondsOf(node.pid) - cpuBefore;
  await node.stop();
  const count = commits * perCommit;
  const unit = perCommit > 1 ? 'resource' : 'commit';
  const many = `${commits.toLocaleString('en')} commits${perCommit > 1 ? ` of ${perCommit} resources` : ''}`;
  return {
    title: `Cold sync of ${many} to a ${role === 'mirror' ? 'mirror' : 'full node'}`,
    unit,
    count,
    window: { fromMs: received.beganMs, toMs: received.beganMs + received.seconds * 1000 },
    processes: [
      { name: 'receiver', folder: receiver, cpuSeconds: received.cpuSeconds },
      { name: 'sender', folder: sender, cpuSeconds: senderCpu },
    ],
    bytes: {
      'on the wire': received.bytesIn / count,
      'in the log': received.logBytes / count,
      'in the rest of the store': (received.storeBytes - received.logBytes) / count,
    },
  };
}

async function writes(lab: Lab, commits: number, atOnce: number): Promise<Worked> {
  const folder = lab.path('profile');
  const local = await runProgram<Local>('local', [lab.path('local'), commits, atOnce, WARM_UP], profiling(folder));
  return {
    title: `Local writes, ${atOnce === 1 ? 'one' : atOnce} at a time`,
    unit: 'commit',
    count: commits,
    window: { fromMs: local.beganMs, toMs: local.beganMs + local.seconds * 1000 },
    processes: [{ name: 'writer', folder, cpuSeconds: local.cpuSeconds }],
    bytes: null,
  };
}

/** The whole command. */
async function imports(lab: Lab): Promise<Worked> {
  const commits = 5000;
  const [work, dataDir, folder] = [lab.path('work.ndjson'), lab.path('sender'), lab.path('profile')];
  await writeNdjson(work, commits, PER_COMMIT);
  await tidelog('--data', dataDir, 'init');
  process.env['NODE_OPTIONS'] = profiling(folder).join(' ');
  const fromMs = sharedNowMs();
  await tidelog('--data', dataDir, 'import', work);
  const toMs = sharedNowMs();
  delete process.env['NODE_OPTIONS'];
  return {
    title: `Import of ${commits.toLocaleString('en')} × ${PER_COMMIT} resources, the whole command`,
    unit: 'resource',
    count: commits * PER_COMMIT,
    window: { fromMs, toMs },
    processes: [{ name: 'import', folder, cpuSeconds: null }],
    bytes: null,
  };
}

async function live(lab: Lab): Promise<Worked> {
  const count = 3000;
  const dataDir = lab.path('live');
  await tidelog('--data', dataDir, 'init', '--name', 'writer');
  await tidelog('--data', dataDir, 'set', 'note/0', 'ready=true');
  const [writer, follower] = [lab.path('writer-profile'), lab.path('follower-profile')];
  const both = await Together.start(lab, dataDir, { writer: profiling(writer), follower: profiling(follower) });
  // What is compiled by then isn't compiled in the window.
  await both.live(WARM_UP);
  const fromMs = sharedNowMs();
  await both.live(count);
  const toMs = sharedNowMs();
  await both.stop();
  return {
    title: 'Live writes, there and back: each waits until the other has it on its disk and said so',
    unit: 'write',
    count,
    window: { fromMs, toMs },
    processes: [
      { name: 'writer', folder: writer, cpuSeconds: null },
      { name: 'follower', folder: follower, cpuSeconds: null },
    ],
    bytes: null,
  };
}

function profiling(folder: string): string[] {
  return ['--cpu-prof', `--cpu-prof-dir=${folder}`, `--cpu-prof-interval=${SAMPLE_US}`];
}

/** One for each thread: Node writes a profile of each, with the thread's number in its name. */
async function columnsOf(who: string, folder: string, window: Worked['window'], count: number): Promise<Column[]> {
  await mkdir(folder, { recursive: true });
  const columns: Column[] = [];
  // CPU.<date>.<time>.<pid>.<thread>.<number>.cpuprofile
  const threadOf = (name: string): number => Number(name.split('.')[4]);
  for (const name of (await readdir(folder)).toSorted((a, b) => threadOf(a) - threadOf(b))) {
    const cpuProfile = JSON.parse(await readFile(join(folder, name), 'utf8')) as CpuProfile;
    const stages = [...stagesOf(cpuProfile, window)].map(([stage, us]) => [stage, us / count] as const);
    const thread = threadOf(name) === 0 ? 'main thread' : `thread ${threadOf(name)}`;
    if (stages.length > 0) columns.push({ name: `${who}, ${thread}`, stages: Object.fromEntries(stages) });
  }
  return columns;
}

function plainTable(profile: Profile): string {
  const rows = tableOf(profile);
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)));
  const lines = rows.map((row) =>
    row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  '),
  );
  return `${profile.title}\n\n${lines.join('\n')}\n\n${summaryOf(profile)}\n\n`;
}
