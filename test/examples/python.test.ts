/** The peer in examples/python: its own tests, each a script that prints what differs. They skip where Debian's Python or one of its packages is missing. */
import { spawn, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

import { runKit } from '../conformance/kit.ts';
import { textOf } from '../e2e/support.ts';
import { sharedFile } from '../support/shared.ts';

const PYTHON = '/usr/bin/python3';
const FOLDER = fileURLToPath(new URL('../../examples/python/', import.meta.url));
const PACKAGES = 'python3 python3-websockets python3-nacl python3-cryptography python3-zstandard python3-msgpack'.split(
  ' ',
);
const HISTORY = sharedFile('data/tldr-history-2013-2020.ndjson.gz');
/** Real processes, a dozen of them in turn: half a minute on a quiet machine. */
const TIMEOUT_MS = 600_000;

const IS_LONG = Boolean(process.env['TIDELOG_TEST_LONG']);

const imports = 'import sys, websockets, nacl, cryptography, zstandard, msgpack; sys.exit(sys.version_info < (3, 11))';
const isThere = spawnSync(PYTHON, ['-c', imports]).status === 0;
const unless = isThere ? '' : `; skipped without Python 3.11: apt-get install ${PACKAGES.join(' ')}`;

async function passes(script: string, ...args: string[]): Promise<void> {
  const child = spawn(PYTHON, [script, ...args], { cwd: FOLDER, stdio: ['ignore', 'pipe', 'pipe'] });
  const closed = new Promise<number | null>((resolve) => child.once('close', resolve));
  const [code, stdout, stderr] = await Promise.all([closed, textOf(child.stdout), textOf(child.stderr)]);
  if (code !== 0) throw new Error(`${script} ended with ${code}\n${stdout.slice(-4000)}\n${stderr.slice(-4000)}`);
  expect(stdout).toMatch(/(^|\n)[1-9]\d* passed\n$/);
}

describe.skipIf(!isThere)(`the peer in Python${unless}`, () => {
  test('examples of PROTOCOL.md, and test/vectors', () => passes('test_vectors.py'), TIMEOUT_MS);

  test('durability, holes, credit, the clock, hostile input', () => passes('test_peer.py'), TIMEOUT_MS);

  test('with a real node', () => passes('test_against_node.py'), TIMEOUT_MS);

  test(
    'passes the conformance kit, but for filters, which it does not serve',
    async () => {
      const peer = `env PYTHONPATH="${FOLDER}" ${PYTHON} -m tidelog --data {data}`;
      const { results, stderr } = await runKit([
        'client',
        // With TIDELOG_TEST_LONG=1 all chapters, and the hostile cases too, which start the peer twice: four minutes more.
        '--quick',
        ...(IS_LONG ? [] : ['--no-hostile', '--only', '5,6,11']),
        '--workers',
        '3',
        '--run',
        `exec ${peer} run {link}`,
        '--write',
        `${peer} set {subject} {property} {value}`,
        '--read',
        `${peer} get {subject}`,
      ]);
      const others = results.filter(({ outcome }) => outcome !== 'passed');
      // It reads every body while it unpacks a batch, and so refuses one that breaks a rule also where it stands in a hole.
      const failed = others.filter(({ id, outcome }) => outcome === 'failed' && id !== '5/201');
      expect(
        failed.map(({ id, reason }) => `${id}: ${reason}`),
        stderr,
      ).toEqual([]);
      expect(others.filter(({ outcome }) => outcome === 'warned').map(({ id }) => id)).toEqual(['11.4/100']);
      const skipped = others.filter(({ outcome }) => outcome === 'skipped').map(({ id }) => id);
      // In any order: some run beside others.
      expect(new Set(skipped.filter((id) => !id.startsWith('12.5/')))).toEqual(new Set(['6.1/2', '11.3/103']));
      expect(results.length).toBeGreaterThan(IS_LONG ? 600 : 70);
    },
    TIMEOUT_MS,
  );

  test.skipIf(!HISTORY)(
    'a real history, both ways; skipped without ../shared/data',
    () => passes('test_real_data.py', HISTORY!),
    TIMEOUT_MS,
  );
});
