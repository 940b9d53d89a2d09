/** The day on which the only owner is gone, played through with real nodes: a mirror is left, and a paper with 24 words. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';

import { readWords, wordsOf } from '../../client/recovery-words.ts';
import { randomBytes } from '../../client/platform/random.ts';
import { toHex } from '../../protocol/bytes.ts';
import { eventually, failure, newLab, type Device } from './support.ts';

const lab = newLab();

interface PaperJson {
  readonly id: string;
  readonly words: readonly string[];
}

async function makePaper(owner: Device): Promise<{ id: string; text: string }> {
  const [paper] = await owner.json<PaperJson>('recovery', 'create');
  return { id: paper!.id, text: paper!.words.join(' ') };
}

/** A laptop, a mirror that has all of it, and a paper; then the laptop is gone. */
async function household(): Promise<{ laptop: Device; pi: Device; paper: { id: string; text: string } }> {
  const laptop = await lab.start('laptop');
  await laptop.set('note/1', { title: 'Milk' });
  const pi = await lab.start('pi');
  await pi.join(laptop, { role: 'mirror' });
  const paper = await makePaper(laptop);
  await eventually(async () => (await pi.head()) === (await laptop.head()), 'the mirror has heard of the key');
  return { laptop, pi, paper };
}

const roles = async (device: Device): Promise<Record<string, string>> => {
  const { items } = await device.get<{ items: { name: string; role: string | null }[] }>('/v1/devices');
  return Object.fromEntries(items.map(({ name, role }) => [name, role ?? 'revoked']));
};

/** Everything in a folder, as text. */
async function contentOf(folder: string): Promise<string> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
  return (await Promise.all(files.map((file) => readFile(file, 'latin1')))).join('\n');
}

test('the laptop is lost: the words on a new one, through the mirror, and life goes on', async () => {
  const { laptop, pi, paper } = await household();
  expect((await laptop.json('doctor')).find(({ check }) => check === 'recovery')).toMatchObject({ state: 'warn' });
  const checked = await laptop.tryWith(`${paper.text}\n`, 'recovery', 'check', '--json');
  expect(JSON.parse(checked.stdout)).toMatchObject({ id: paper.id, role: 'owner', space: { name: 'home' } });
  expect((await laptop.json('doctor')).find(({ check }) => check === 'recovery')).toMatchObject({ state: 'ok' });
  expect((await pi.tryWith(paper.text, 'recovery', 'check')).stdout).toContain(`an owner of home: recovery`);

  // Neither the words nor the seed are anywhere but on the paper.
  const seed = toHex(readWords(paper.text));
  for (const { dataDir, log } of [laptop, pi]) {
    const everything = (await contentOf(dataDir)) + JSON.stringify(log);
    expect(everything).toContain('note/1');
    expect(everything).not.toContain(seed);
    expect(everything).not.toContain(Buffer.from(seed, 'hex').toString('latin1'));
    expect(everything).not.toContain(paper.text.slice(0, 30));
  }

  await laptop.kill('SIGKILL');
  const desktop = await lab.start('desktop');
  const used = await desktop.tryWith(paper.text, 'recovery', 'use', '--from', pi.url);
  expect(used.code, used.stderr).toBe(0);
  expect(used.stdout).toContain('made desktop an owner of home');
  expect(used.stdout).toContain('joined home as owner');
  expect(used.stderr).toContain('devices revoke');
  await eventually(
    async () => (await desktop.read('note/1'))?.['title'] === 'Milk',
    'the new laptop has what the mirror has',
  );
  expect(await roles(pi)).toMatchObject({ desktop: 'owner', laptop: 'owner', pi: 'mirror' });

  const phone = await lab.start('phone');
  await phone.join(desktop);
  await phone.set('note/1', { title: 'Oat milk' });
  await desktop.run('devices', 'revoke', 'laptop', '--yes');
  await desktop.run('devices', 'revoke', paper.id.slice(0, 7), '--yes');
  const second = await makePaper(desktop);
  await eventually(async () => (await pi.head()) === (await desktop.head()), 'the mirror has all of it');

  // Found again under the sofa, with something written on the train.
  await laptop.start('--connect', pi.url);
  await laptop.set('note/2', { title: 'late' });
  const status = async (): Promise<string> => (await laptop.status()).peers.map(({ error }) => error ?? '').join();
  await eventually(async () => (await status()).includes('has been revoked'), 'the old laptop is turned away');
  expect(await pi.head()).toBe(await desktop.head());
  expect(await desktop.read('note/2')).toBeNull();
  await eventually(async () => (await desktop.read('note/1'))?.['title'] === 'Oat milk', 'the phone is still heard');

  // The first paper is worth nothing any more; the second is.
  for (const args of [['check'], ['use', '--yes'], ['use', '--yes', '--from', pi.url]]) {
    const outcome = failure(await desktop.tryWith(paper.text, 'recovery', ...args, '--json'));
    expect(outcome, args.join(' ')).toMatchObject({ exit: 1, code: 'recovery-refused' });
    expect(outcome.message).toContain('it was revoked');
  }
  expect((await pi.tryWith(second.text, 'recovery', 'check')).code).toBe(0);
}, 240_000);

test('the words on the mirror itself, for a new laptop by its ID; it then joins as any member does', async () => {
  const { laptop, pi, paper } = await household();
  await laptop.kill('SIGKILL');
  const desktop = await lab.start('desktop');
  const { id } = (await desktop.status()).device;
  const used = await pi.tryWith(paper.text, 'recovery', 'use', '--device', id, '--name', 'desk', '--json');
  expect(used.code, used.stderr).toBe(0);
  expect(JSON.parse(used.stdout)).toMatchObject({ device: id, admitted: true, key: paper.id });
  await desktop.run('pair', 'join', pi.url);
  await desktop.set('note/1', { title: 'Oat milk' });
  await eventually(
    async () => (await pi.head()) === (await desktop.head()),
    'the mirror has what the new owner writes',
  );
  expect(await roles(desktop)).toMatchObject({ desk: 'owner', pi: 'mirror', laptop: 'owner' });
  const again = await pi.tryWith(paper.text, 'recovery', 'use', '--device', id);
  expect([again.code, again.stdout]).toEqual([0, `${id.slice(0, 7)} is an owner already\n`]);
}, 240_000);

test('a backup without its key, where no node runs: the words make the device that it was restored to an owner', async () => {
  const laptop = await lab.start('laptop');
  await laptop.set('note/1', { title: 'Milk' });
  const paper = await makePaper(laptop);
  const folder = await lab.folder();
  await laptop.run('backup', 'create', join(folder, 'backup'));
  await laptop.kill('SIGKILL');
  const restored = await lab.device('restored', { init: false });
  await restored.run('backup', 'restore', join(folder, 'backup'));
  expect(failure(await restored.try('set', 'note/1', 'title=Oats', '--json')).code).toBe('not-a-member');
  const used = await restored.tryWith(paper.text, 'recovery', 'use', '--name', 'restored');
  expect(used.code, used.stderr).toBe(0);
  await restored.run('set', 'note/1', 'title=Oats');
  await restored.start();
  expect(await restored.read('note/1')).toEqual({ title: 'Oats' });
  expect(await roles(restored)).toMatchObject({ restored: 'owner', laptop: 'owner' });
}, 240_000);

test('what is refused: wrong words, those of another space, those that are nobody, and no words at all', async () => {
  const { laptop, pi, paper } = await household();
  const reader = await lab.start('reader');
  await reader.join(laptop, { role: 'reader' });
  const other = await lab.start('other');
  await other.set('note/1', { title: 'theirs' });
  const others = await makePaper(other);
  const head = await pi.head();
  const words = paper.text.split(' ');
  const refusal = async (text: string, ...args: string[]): Promise<string> => {
    const { exit, code, message } = failure(await reader.tryWith(text, 'recovery', ...args, '--json'));
    return `${exit} ${code} ${message}`;
  };
  expect(await refusal('', 'use')).toMatch(/^1 bad-recovery-words .*there are 0/);
  expect(await refusal(words.slice(1).join(' '), 'use')).toMatch(/^1 bad-recovery-words .*there are 23/);
  expect(await refusal(words.with(6, 'xylophone').join(' '), 'check')).toMatch(
    /^1 bad-recovery-words .*word 7, "xylophone"/,
  );
  for (const text of [others.text, wordsOf(randomBytes(32)).join(' ')]) {
    expect(await refusal(text, 'check')).toMatch(/^1 recovery-refused .*is no member of home/);
    expect(await refusal(text, 'use')).toMatch(/^1 recovery-refused .*a member of no space there/);
    expect(await refusal(text, 'use', '--from', pi.url)).toMatch(/^1 recovery-refused .*a member of no space there/);
  }
  expect(await refusal(paper.text, 'use', '--from', 'http://127.0.0.1:1')).toMatch(/^1 unreachable /);
  expect(await refusal(paper.text, 'use', '--from', 'somewhere')).toMatch(/^2 bad-argument /);
  expect(await refusal(paper.text, 'use', '--device', 'ABC')).toMatch(/^2 bad-device-id /);
  expect(failure(await reader.try('recovery', 'create', '--json'))).toMatchObject({ exit: 1, code: 'not-an-owner' });
  const asArguments = await reader.try('recovery', 'use', ...words);
  expect(asArguments.code, 'words are no arguments').toBe(2);
  expect(asArguments.stderr + asArguments.stdout).not.toContain(words[0]);
  expect([await pi.head(), await laptop.head()]).toEqual([head, head]);
  expect((await pi.status()).pending, 'and nobody is asked to let such a key in').toBe(0);
}, 240_000);
