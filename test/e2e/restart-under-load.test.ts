/** A node is restarted again and again while a client writes to it and a follower reads its events, and neither pauses: nothing is lost, nothing comes twice. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually, newLab, type Device } from './support.ts';

const lab = newLab();

const RESTARTS = 5;
const WRITES_BETWEEN = 40;
/** Before a node that doesn't answer is asked again. */
const RETRY_MS = 20;

/** Writes one after the other as a careful client does: where an answer got lost it looks whether the write is there before it makes it again. */
async function writeOn(device: Device, isOver: () => boolean, acknowledged: string[]): Promise<{ refused: number }> {
  let refused = 0;
  for (let n = 0; !isOver(); n++) {
    const subject = `stream/${n}`;
    const changes = [
      { subject, set: { n } },
      { subject: 'count', inc: { writes: 1 } },
    ];
    for (let isAsked = false; ; await sleep(RETRY_MS)) {
      try {
        if (isAsked && (await device.read(subject)) !== null) break;
        isAsked = true;
        const { status } = await device.request('POST', '/v1/commits', { changes });
        if (status === 201) break;
      } catch {
        // It is down, or went down.
      }
      refused++;
    }
    acknowledged.push(subject);
  }
  return { refused };
}

/** Subjects of the events as they come, from the last event that it saw on, whatever becomes of its connection. */
async function followOn(device: Device, signal: AbortSignal, seen: string[]): Promise<{ connections: number }> {
  const token = (await readFile(join(device.dataDir, 'token'), 'utf8')).trim();
  let last = '';
  let connections = 0;
  while (!signal.aborted) {
    const headers = {
      authorization: `Bearer ${token}`,
      accept: 'text/event-stream',
      ...(last && { 'last-event-id': last }),
    };
    try {
      const response = await fetch(`${device.url}/v1/commits`, { headers, signal });
      if (!response.ok) throw new Error(`${response.status}`);
      connections++;
      let text = '';
      for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
        text += chunk;
        for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
          const event = text.slice(0, end);
          text = text.slice(end + 2);
          const id = /^id: ?(.*)$/m.exec(event)?.[1];
          const data = /^data: ?(.*)$/m.exec(event)?.[1];
          if (id === undefined || data === undefined) continue;
          last = id;
          const { changes } = JSON.parse(data) as { changes: { subject: string }[] };
          seen.push(...changes.map(({ subject }) => subject).filter((subject) => subject.startsWith('stream/')));
        }
      }
    } catch {
      // It is down, or went down.
    }
    await sleep(RETRY_MS, null, { signal }).catch(() => {});
  }
  return { connections };
}

test(`a node is restarted ${RESTARTS} times under a writer and a reader that go on: each write is there once, and each event came once`, async () => {
  const [laptop, phone] = await Promise.all([lab.start('laptop'), lab.start('phone')]);
  await phone.join(laptop);
  const acknowledged: string[] = [];
  const seen: string[] = [];
  const aborter = new AbortController();
  let isOver = false;
  const writing = writeOn(laptop, () => isOver, acknowledged);
  const following = followOn(laptop, aborter.signal, seen);
  for (let i = 0; i < RESTARTS; i++) {
    const before = acknowledged.length;
    await eventually(() => acknowledged.length >= before + WRITES_BETWEEN, 'the writer goes on');
    expect(await laptop.kill('SIGTERM')).toBe(0);
    await laptop.start();
  }
  const before = acknowledged.length;
  await eventually(() => acknowledged.length >= before + WRITES_BETWEEN, 'the writer goes on');
  isOver = true;
  const { refused } = await writing;
  await eventually(() => seen.length >= acknowledged.length, 'the reader has it all');
  aborter.abort();
  const { connections } = await following;

  expect(refused, 'it was down meanwhile').toBeGreaterThan(0);
  expect(connections).toBeGreaterThan(RESTARTS);
  expect(seen, 'each event once, in order').toEqual(acknowledged);
  await eventually(async () => (await phone.head()) === (await laptop.head()), 'the phone has it all');
  for (const device of [laptop, phone]) {
    const lines = (await device.export())
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    const subjects = lines.map(({ subject }) => subject as string);
    expect(subjects.filter((subject) => subject.startsWith('stream/'))).toEqual(acknowledged.toSorted());
    expect(lines.find(({ subject }) => subject === 'count')).toMatchObject({ inc: { writes: acknowledged.length } });
  }
  expect(await phone.metric('tidelog_entries_duplicate_total')).toBe(0);
}, 240_000);
