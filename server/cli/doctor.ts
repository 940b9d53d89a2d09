/** `tidelog doctor`: looks for what commonly goes wrong, and says what to do about it. */
import { statfs } from 'node:fs/promises';
import type { Command } from 'commander';

import { asTidelogError } from '../../protocol/errors.ts';
import { ConfigFile } from '../config.ts';
import type { StatusJson } from '../http/status.ts';
import { formatBytes, paint, printable } from '../terminal.ts';
import { dataDirOf, EXIT, Output, withCli } from './command.ts';

interface Finding {
  readonly check: string;
  readonly state: 'fine' | 'warning' | 'failed';
  readonly says: string;
}

const MARK = { fine: ['green', '✓'], warning: ['yellow', '!'], failed: ['red', '✗'] } as const;

/** Less is a warning: a store that can't grow refuses writes. */
const FREE_BYTES_MIN = 256 * 1024 * 1024;
/** A clock that is further off than this decides between concurrent writes in a way that surprises people. */
const SKEW_MS_MAX = 60_000;
const NODE_MIN = [22, 18] as const;

export function doctorCommand(program: Command): void {
  program
    .command('doctor')
    .description('look for what is wrong with this device')
    .action(async (_options: unknown, command: Command) => {
      const output = new Output(command);
      const findings: Finding[] = [runtime()];
      const dataDir = dataDirOf(command);
      // Without data there is nothing to examine, and the error says what to do.
      await withCli(command, async (cli) => {
        findings.push(await settings(dataDir), await room(dataDir));
        const status = await cli.get<StatusJson>(cli.path(['v1', 'status']));
        findings.push({
          check: 'data',
          state: 'fine',
          says: `${cli.dataDir}, ${count(status.spaces.length, 'space')}`,
        });
        findings.push(
          cli.api.node === null
            ? { check: 'node', state: 'warning', says: 'none runs here, so nothing syncs; `tidelog start` starts one' }
            : { check: 'node', state: 'fine', says: `runs at ${cli.api.node}` },
        );
        findings.push(...others(status));
      });
      for (const finding of findings) {
        await output.show(finding, () => {
          const [colour, mark] = MARK[finding.state];
          return `${paint(colour, mark)} ${finding.check}: ${printable(finding.says)}`;
        });
      }
      if (findings.some(({ state }) => state === 'failed')) process.exitCode = EXIT.FAILED;
    });
}

function runtime(): Finding {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const fine = major > NODE_MIN[0] || (major === NODE_MIN[0] && minor >= NODE_MIN[1]);
  return {
    check: 'runtime',
    state: fine ? 'fine' : 'failed',
    says: `Node ${process.versions.node}${fine ? '' : `; at least ${NODE_MIN.join('.')} is needed`}`,
  };
}

async function settings(dataDir: string): Promise<Finding> {
  try {
    const { path } = await ConfigFile.read(dataDir);
    return { check: 'settings', state: 'fine', says: path };
  } catch (thrown) {
    return { check: 'settings', state: 'failed', says: asTidelogError(thrown).message };
  }
}

async function room(dataDir: string): Promise<Finding> {
  const { bavail, bsize } = await statfs(dataDir);
  const free = bavail * bsize;
  return { check: 'disk', state: free < FREE_BYTES_MIN ? 'warning' : 'fine', says: `${formatBytes(free)} free` };
}

function others({ peers, spaces, pending, warnings }: StatusJson): Finding[] {
  const findings: Finding[] = warnings.map((says) => ({ check: 'warning', state: 'warning', says }));
  for (const { name, address, error } of peers) {
    if (error !== null) findings.push({ check: 'connection', state: 'warning', says: `${name || address}: ${error}` });
  }
  for (const { name, clockSkewMs } of peers) {
    if (clockSkewMs !== null && Math.abs(clockSkewMs) > SKEW_MS_MAX) {
      const says = `${name}'s clock is ${Math.round(Math.abs(clockSkewMs) / 1000)} s ${clockSkewMs > 0 ? 'ahead of' : 'behind'} this one; set both by the network`;
      findings.push({ check: 'clock', state: 'warning', says });
    }
  }
  const connected = peers.filter((peer) => peer.connected).length;
  findings.push({
    check: 'devices',
    state: 'fine',
    says: `${count(peers.length, 'other device')}, ${connected} connected`,
  });
  const conflicts = spaces.reduce((sum, space) => sum + space.conflicts, 0);
  if (conflicts > 0)
    findings.push({
      check: 'conflicts',
      state: 'warning',
      says: `${count(conflicts, 'property', 'properties')} to decide: \`tidelog conflicts\``,
    });
  if (pending > 0)
    findings.push({
      check: 'pairing',
      state: 'warning',
      says: `${count(pending, 'device')} waiting: \`tidelog pair pending\``,
    });
  return findings;
}

function count(number: number, one: string, many = `${one}s`): string {
  return `${number} ${number === 1 ? one : many}`;
}
