/**
 * No secret leaves by the side doors. Two nodes at log level debug are paired, write, are asked with wrong tokens and joined with wrong links; then all that
 * they and their commands said (logs, errors, metrics, status, process arguments) is searched for each secret, in every form that it has.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';

import { nodeCrypto } from '../../client/platform/crypto-node.ts';
import { fromHex, toBase64Url } from '../../protocol/bytes.ts';
import { decodePairLink, encodePairLink } from '../../protocol/pair-link.ts';
import { newLab, textOf, type Device } from './support.ts';

const lab = newLab();

interface Said {
  readonly device: Device;
  readonly output: Promise<string>;
  readonly pid: number;
  stop(): Promise<void>;
}

/** A node at its most talkative. What it says is kept whole. */
async function startTalkative(name: string, format: 'json' | 'pretty'): Promise<Said> {
  const device = await lab.device(name);
  await writeFile(join(device.dataDir, 'config.json'), JSON.stringify({ name, logLevel: 'debug' }), { mode: 0o600 });
  const args = ['start', '--log', format, '--data', device.dataDir, '--port', String(device.port)];
  const child = lab.spawn(args);
  const started = Promise.withResolvers<void>();
  child.stdout!.on('data', (data: Buffer) => String(data).includes('started') && started.resolve());
  const output = Promise.all([textOf(child.stdout!), textOf(child.stderr!)]).then((texts) => texts.join('\n'));
  await started.promise;
  return {
    device,
    output,
    pid: child.pid!,
    async stop() {
      child.kill('SIGTERM');
      await output;
    },
  };
}

/** A secret as bytes, in the forms in which it may be written. */
function formsOf(bytes: Uint8Array): string[] {
  const buffer = Buffer.from(bytes);
  return [
    buffer.toString('hex'),
    buffer.toString('hex').toUpperCase(),
    buffer.toString('base64').replaceAll('=', ''),
    toBase64Url(bytes),
    [...bytes].join(','),
    [...bytes].join(', '),
  ];
}

async function secretsOf({ dataDir }: Device): Promise<{ key: Uint8Array; token: string }> {
  const key = fromHex((await readFile(join(dataDir, 'key'), 'utf8')).trim().split('\n')[1]!)!;
  return { key, token: (await readFile(join(dataDir, 'token'), 'utf8')).trim() };
}

test('in logs, errors, metrics, status and process arguments, whatever is done', { timeout: 120_000 }, async () => {
  const laptop = await startTalkative('laptop', 'json');
  const phone = await startTalkative('phone', 'pretty');
  const said: string[] = [];
  const keep = async (device: Device, ...args: string[]): Promise<void> => {
    const { stdout, stderr } = await device.try(...args);
    said.push(stdout, stderr);
  };
  await laptop.device.run('set', 'note/1', 'title=Milk');
  const link = await laptop.device.invite();
  const invite = decodePairLink(nodeCrypto, link);
  const wrong = encodePairLink(nodeCrypto, { ...invite, secret: new Uint8Array(16).fill(7) });

  // Refused: a secret that is wrong, a link that was cut, a token that is wrong.
  await keep(phone.device, 'pair', 'join', wrong);
  await keep(phone.device, 'pair', 'join', link.slice(0, -3));
  for (const authorization of ['Bearer wrong', `Bearer ${(await secretsOf(phone.device)).token}`]) {
    const response = await fetch(`${laptop.device.url}/v1/status`, { headers: { authorization } });
    said.push(String(response.status), JSON.stringify([...response.headers]), await response.text());
  }
  said.push(await (await phone.device.request('POST', '/v1/pairing/join', { link: wrong })).text());
  said.push(await (await phone.device.request('POST', '/v1/pairing/join', { link: `${link}x` })).text());

  // The link by standard input: what stands in a process's arguments, every user of the machine can read.
  const joining = lab.spawn(['pair', 'join', '-', '--json', '--data', phone.device.dataDir], { input: true });
  const joined = Promise.all([textOf(joining.stdout!), textOf(joining.stderr!)]);
  const argumentsOf = async (pid: number): Promise<string> =>
    process.platform === 'linux' ? readFile(`/proc/${pid}/cmdline`, 'utf8') : '';
  said.push(await argumentsOf(joining.pid!), await argumentsOf(laptop.pid), await argumentsOf(phone.pid));
  joining.stdin!.end(`${link}\n`);
  said.push(...(await joined));
  expect(said.at(-2)).toMatch(/digits/);
  expect(await phone.device.read('note/1')).toEqual({ title: 'Milk' });
  // Used up.
  await keep(phone.device, 'pair', 'join', link);

  for (const { device } of [laptop, phone]) {
    for (const path of ['/metrics', '/v1/status', '/v1/devices', '/v1/config', '/v1/pairing/invites', '/v1/nothing'])
      said.push(await (await device.request('GET', path)).text());
    await keep(device, 'status');
    await keep(device, 'status', '--json');
    await keep(device, 'devices', '--json');
    await keep(device, 'doctor', '--json');
    await keep(device, 'id');
    await keep(device, 'log', '--json');
  }
  const all = [laptop, phone];
  const secrets = await Promise.all(all.map(({ device }) => secretsOf(device)));
  for (const each of all) {
    await each.stop();
    said.push(await each.output);
  }
  const text = said.join('\n');
  expect(text).toContain('paired');
  expect(text).toContain('invite-wrong-secret');
  for (const { key, token } of secrets) {
    for (const form of formsOf(key)) expect(text.includes(form), 'the key of a device').toBe(false);
    expect(text.includes(token), 'a token').toBe(false);
  }
  for (const form of formsOf(invite.secret)) expect(text.includes(form), "an invite's secret").toBe(false);
  // The code after #pair= has the secret in it, however it is cut.
  const code = link.split('#pair=')[1]!;
  for (let at = 60; at + 24 <= code.length; at += 8)
    expect(text.includes(code.slice(at, at + 24)), 'a piece of a link').toBe(false);
});
