/**
 * `npm run bench:profile`: where the time of a cold sync goes, at the receiver and at the sender, by stage, in µs for each commit; and the bytes. From CPU
 * profiles of both processes, their threads apart, within the time of the sync.
 *
 *   npm run bench:profile -- --commits 200000 --role mirror --out FILE
 *
 * `scripts/bench-table.ts FILE` puts it into README.md. The profiler itself takes a tenth or so: compare its rows, and take speeds from `npm run bench`.
 */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Lab, type Sizes } from './lab.ts';
import { BenchNode } from './node.ts';
import type { Received } from './programs/receive.ts';
import { cpuSecondsOf } from './proc.ts';
import { machineHere } from './report.ts';
import { stagesOf, summaryOf, tableOf, type Column, type CpuProfile, type Profile } from './stages.ts';
import { runProgram, withFolder } from './support.ts';

const SAMPLE_US = 200;

const { values } = parseArgs({
  options: {
    commits: { type: 'string', default: '200000' },
    role: { type: 'string', default: 'writer' },
    out: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});
const commits = Number(values.commits);
if (values.role !== 'writer' && values.role !== 'mirror') throw new Error('--role is writer or mirror');
const role = values.role;
const profile = await withFolder(measure);
if (values.out !== undefined) await writeFile(values.out, `${JSON.stringify(profile, null, 2)}\n`);
process.stdout.write(values.json ? `${JSON.stringify(profile)}\n` : plainTable(profile));
process.exit();

async function measure(folder: string): Promise<Profile> {
  const lab = new Lab(folder, {} as Sizes);
  const { dataDir } = await lab.sender({ commits, perCommit: 1 });
  const node = await BenchNode.start(dataDir, { flags: profiling(join(folder, 'sender-profile')) });
  const link = await node.invite(role);
  const cpuBefore = cpuSecondsOf(node.pid);
  const flags = profiling(join(folder, 'receiver-profile'));
  const received = await runProgram<Received>('receive', [link, lab.path('receiver')], flags);
  const senderCpu = cpuSecondsOf(node.pid) - cpuBefore;
  await node.stop();
  const window = { fromMs: received.beganMs, toMs: received.beganMs + received.seconds * 1000 };
  const perCommit = (seconds: number): number => (seconds * 1e6) / commits;
  return {
    date: new Date().toISOString().slice(0, 10),
    machine: machineHere(),
    commits,
    role,
    columns: [
      ...(await columnsOf('receiver', join(folder, 'receiver-profile'), window)),
      ...(await columnsOf('sender', join(folder, 'sender-profile'), window)),
    ],
    totals: {
      wall: perCommit(received.seconds),
      receiverCpu: perCommit(received.cpuSeconds),
      senderCpu: perCommit(senderCpu),
    },
    bytes: {
      wire: received.bytesIn / commits,
      log: received.logBytes / commits,
      restOfStore: (received.storeBytes - received.logBytes) / commits,
    },
  };
}

function profiling(folder: string): string[] {
  return ['--cpu-prof', `--cpu-prof-dir=${folder}`, `--cpu-prof-interval=${SAMPLE_US}`];
}

/** One for each thread: Node writes a profile of each, with the thread's number in its name. */
async function columnsOf(who: string, folder: string, window: { fromMs: number; toMs: number }): Promise<Column[]> {
  await mkdir(folder, { recursive: true });
  const columns: Column[] = [];
  // CPU.<date>.<time>.<pid>.<thread>.<number>.cpuprofile
  const threadOf = (name: string): number => Number(name.split('.')[4]);
  for (const name of (await readdir(folder)).toSorted((a, b) => threadOf(a) - threadOf(b))) {
    const cpuProfile = JSON.parse(await readFile(join(folder, name), 'utf8')) as CpuProfile;
    const stages = [...stagesOf(cpuProfile, window)].map(([stage, us]) => [stage, us / commits] as const);
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
  return `${lines.join('\n')}\n\n${summaryOf(profile)}\n`;
}
