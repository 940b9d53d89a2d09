/** What people get wrong, as the command line tells them: a code, a sentence with the next step, an exit code. */
import { createServer } from 'node:net';
import { once } from 'node:events';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';

import { nodeCrypto } from '../../client/platform/crypto-node.ts';
import { decodePairLink, encodePairLink } from '../../protocol/pair-link.ts';
import { eventually, failure, newLab } from './support.ts';

const lab = newLab();

test('a device ID with a typo, and one that is none', async () => {
  const laptop = await lab.device('laptop');
  const phone = await lab.device('phone');
  await laptop.run('set', 'note/1', 'title=Milk');
  const id = (await phone.run('id')).trim();
  const groups = id.split('-');
  groups[2] = groups[2]!.replace(/^./, (letter) => (letter === 'A' ? 'B' : 'A'));
  const typo = failure(await laptop.try('devices', 'add', groups.join('-'), '--json'));
  expect(typo).toMatchObject({ exit: 2, code: 'bad-device-id' });
  // It says where to look.
  expect(typo.message).toMatch(/group/);
  expect(failure(await laptop.try('devices', 'add', 'phone', '--json'))).toMatchObject({
    exit: 2,
    code: 'bad-device-id',
  });
  // Without its dashes and in lower case it is still right.
  await laptop.run('devices', 'add', id.replaceAll('-', '').toLowerCase());
});

describe('a pairing link', () => {
  test('that is used, expired, cut off, of a wrong secret, or of another device', async () => {
    const [laptop, phone, pi] = await Promise.all([lab.start('laptop'), lab.start('phone'), lab.start('pi')]);
    const link = await laptop.invite();
    const wrong = encodePairLink(nodeCrypto, { ...decodePairLink(nodeCrypto, link), secret: new Uint8Array(16) });
    const refuses = async (given: string, code: string, says: RegExp): Promise<void> => {
      const refused = failure(await pi.try('pair', 'join', given, '--json'));
      // What is no link at all was mistyped.
      expect(refused).toMatchObject({ exit: code === 'bad-link' ? 2 : 1, code });
      expect(refused.message).toMatch(says);
    };
    await refuses(wrong, 'invite-wrong-secret', /Copy the whole link again/);
    await refuses(link.slice(0, -5), 'bad-link', /Copy it whole/);
    // What has no # is taken for an address to ask at.
    expect(failure(await pi.try('pair', 'join', 'hello', '--json'))).toMatchObject({ exit: 2, code: 'bad-argument' });

    await phone.run('pair', 'join', link);
    await refuses(link, 'invite-used', /tidelog pair invite/);

    const brief = await laptop.invite('writer', '--expires', '1s');
    const { expiresMs } = decodePairLink(nodeCrypto, brief);
    await eventually(() => Date.now() > expiresMs, 'it expires');
    await refuses(brief, 'invite-expired', /tidelog pair invite/);

    // The phone answers where the laptop's link leads to.
    const misled = encodePairLink(nodeCrypto, {
      ...decodePairLink(nodeCrypto, await laptop.invite()),
      addresses: [phone.url],
    });
    await refuses(misled, 'wrong-device', /make a new invite/);

    const dead = await laptop.invite();
    const guess = encodePairLink(nodeCrypto, { ...decodePairLink(nodeCrypto, dead), secret: new Uint8Array(16) });
    for (let i = 0; i < 3; i++) await refuses(guess, 'invite-wrong-secret', /secret/);
    await refuses(dead, 'invite-dead', /tidelog pair invite/);

    await laptop.kill('SIGTERM');
    await refuses(misled.replace(phone.url, laptop.url), 'unreachable', /Is it running/);
    // None of it has let it in.
    expect((await pi.status()).spaces).toEqual([]);
  });
});

describe('starting', () => {
  test('on a port in use', async () => {
    const device = await lab.device('laptop');
    const other = createServer();
    await once(other.listen(device.port, '127.0.0.1'), 'listening');
    const refused = failure(await device.try('start', '--port', String(device.port), '--json'));
    other.close();
    expect(refused).toMatchObject({ exit: 1, code: 'port-in-use' });
    expect(refused.message).toMatch(/--port/);
    expect(refused.message).toContain(String(device.port));
    await device.start();
  });

  test('twice in one data folder: the second is refused, the first goes on', async () => {
    const device = await lab.start('laptop');
    const refused = failure(await device.try('start', '--port', '0', '--json'));
    expect(refused).toMatchObject({ exit: 1, code: 'node-runs' });
    expect(refused.message).toContain(device.url);
    await device.run('set', 'note/1', 'title=Milk');
  });

  test.each([
    ['of a newer version', 'data-newer', /Update this one/],
    ['that is not ours', 'data-not-ours', /--data/],
    ['that is missing', 'data-missing', /tidelog init/],
    ['whose key others may read', 'key-unsafe', /chmod 600/],
  ] as const)('a data folder %s', async (kind, code, says) => {
    const device = await lab.device('laptop');
    let { dataDir } = device;
    if (code === 'data-newer') await writeFile(join(dataDir, 'version'), '{"format":999}\n');
    if (code === 'data-not-ours') {
      dataDir = join(await lab.folder(), 'photos');
      await mkdir(dataDir);
      await writeFile(join(dataDir, 'cat.jpg'), 'meow');
    }
    if (code === 'data-missing') dataDir = join(await lab.folder(), 'nothing');
    if (code === 'key-unsafe') await chmod(join(dataDir, 'key'), 0o644);
    const refused = failure(await lab.run(['status', '--data', dataDir, '--json']));
    expect(refused, kind).toMatchObject({ exit: 1, code });
    expect(refused.message).toMatch(says);
    // `start` would make a folder that is missing.
    if (code === 'data-missing') return;
    expect(failure(await lab.run(['start', '--port', '0', '--data', dataDir, '--json']))).toEqual(refused);
    if (code === 'data-not-ours') expect(await readFile(join(dataDir, 'cat.jpg'), 'utf8')).toBe('meow');
  });
});

test('a wrong token', async () => {
  const device = await lab.start('laptop');
  await writeFile(join(device.dataDir, 'token'), `${'x'.repeat(43)}\n`);
  const refused = failure(await device.try('get', 'note/1', '--json'));
  expect(refused).toMatchObject({ exit: 1, code: 'bad-token' });
  expect(refused.message).toMatch(/`token` in the data folder/);
});

test('a command that is misused is 2, in words for a person where --json is not given', async () => {
  const device = await lab.device('laptop');
  expect(failure(await device.try('set', 'note/1', 'no-equals-sign', '--json'))).toMatchObject({
    exit: 2,
    code: 'bad-argument',
  });
  expect((await device.try('pair', 'dance')).code).toBe(2);
  for (const misused of [['dance'], ['ls', '--limt', '3'], ['help', 'dance']])
    expect(failure(await device.try(...misused, '--json'))).toMatchObject({ exit: 2, code: 'bad-argument' });
  expect((await device.try('start', '--port', '70000')).code).toBe(2);
  expect(failure(await device.try('pair', 'approve', 'nobody', '--json')).message).toContain('`tidelog pair pending`');
  expect(failure(await device.try('open', '--json'))).toMatchObject({ exit: 1, code: 'no-node' });
  expect(failure(await device.try('import', tmpdir(), '--json')).message).toContain('is a folder');
  expect(failure(await device.try('import', 'not-here', '--json')).message).toContain('there is no such file');
  await device.run('set', 'note/1', 'title=Milk');
  for (const [subject, key] of [
    ['note/2', 'title'],
    ['note/1', 'titel'],
  ] as const)
    expect(failure(await device.try('unset', subject, key, '--json'))).toMatchObject({ exit: 1, code: 'not-found' });
  const { code, stdout, stderr } = await device.try('set', '~devices/me', 'role=owner');
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toMatch(/^tidelog: Subjects that begin with ~ .* \[reserved-subject\]\n$/);
});
