/** What was acknowledged is there after a restart, whether the node was stopped or killed in the middle of its writes. */
import { describe, expect, test } from 'vitest';

import { eventually, newLab, type Device } from './support.ts';

const lab = newLab();

const WRITERS = 4;
/** Acknowledged writes before each kill: different numbers, so that it hits different moments. */
const ROUNDS = [1, 7, 23, 40, 61, 89];

/** Writes from several hands at once, until the node is gone. Returns what was acknowledged. */
async function writeUntilGone(device: Device, round: number, acknowledged: Map<string, number>): Promise<void> {
  const write = async (writer: number): Promise<void> => {
    for (let n = 0; ; n++) {
      const subject = `stream/${round}-${writer}-${n}`;
      let status: number;
      try {
        const changes = [
          { subject, set: { n } },
          { subject: 'stream/count', inc: { writes: 1 } },
        ];
        ({ status } = await device.request('POST', '/v1/commits', { changes }));
      } catch {
        return;
      }
      // A node that stops says so; that is no acknowledgement.
      if (status !== 201) return;
      acknowledged.set(subject, n);
    }
  };
  await Promise.all(Array.from({ length: WRITERS }, (_, writer) => write(writer)));
}

async function linesOf(
  device: Device,
): Promise<Map<string, { set?: Record<string, unknown>; inc?: Record<string, number> }>> {
  const lines = (await device.export()).trimEnd().split('\n');
  return new Map(
    lines.map((line) => {
      const { subject, ...ops } = JSON.parse(line) as { subject: string };
      return [subject, ops];
    }),
  );
}

describe.each(['SIGKILL', 'SIGTERM'] as const)('%s under a stream of writes', (signal) => {
  test(`loses nothing that was acknowledged, ${ROUNDS.length} times over, and the other device converges`, async () => {
    const [laptop, phone] = await Promise.all([lab.start('laptop'), lab.start('phone')]);
    await phone.join(laptop);
    const acknowledged = new Map<string, number>();
    for (const [round, writes] of ROUNDS.entries()) {
      const before = acknowledged.size;
      const writing = writeUntilGone(laptop, round, acknowledged);
      await eventually(() => acknowledged.size >= before + writes, 'enough is acknowledged');
      const code = await laptop.kill(signal);
      await writing;
      if (signal === 'SIGTERM') expect(code, 'a graceful stop is no failure').toBe(0);
      await laptop.start();
      const lines = await linesOf(laptop);
      for (const [subject, n] of acknowledged) expect(lines.get(subject), subject).toEqual({ set: { n } });
      // A commit is whole or not there: each write counted itself.
      expect(lines.get('stream/count')).toEqual({ inc: { writes: lines.size - 1 } });
    }
    await eventually(async () => (await phone.head()) === (await laptop.head()), 'the phone has it all');
    expect(await phone.export()).toBe(await laptop.export());
    expect(await phone.metric('tidelog_entries_duplicate_total')).toBe(0);
    // It kept all its life what it was sent: what the laptop sent was on the laptop's disk.
    expect(await phone.metric('tidelog_entries_received_total')).toBe(await phone.head());

    // And both go on.
    await phone.set('note/phone', { title: 'still here' });
    await eventually(async () => (await laptop.read('note/phone')) !== null, 'what the phone writes arrives');
  });
});

test('the device that receives is killed too, and catches up without anything being sent twice', async () => {
  const [laptop, phone] = await Promise.all([lab.start('laptop'), lab.start('phone')]);
  await phone.join(laptop);
  const acknowledged = new Map<string, number>();
  const writing = writeUntilGone(laptop, 0, acknowledged);
  for (let i = 0; i < 3; i++) {
    const before = acknowledged.size;
    await eventually(() => acknowledged.size >= before + 30, 'enough is acknowledged');
    await phone.kill('SIGKILL');
    await phone.start();
    expect(await phone.metric('tidelog_entries_duplicate_total')).toBe(0);
  }
  await laptop.kill('SIGTERM');
  await writing;
  await laptop.start();
  await eventually(async () => (await phone.head()) === (await laptop.head()), 'the phone has it all');
  expect(await phone.export()).toBe(await laptop.export());
  expect(await phone.metric('tidelog_entries_duplicate_total')).toBe(0);
});
