/** The story that the demo tells, step by step: each step is done when it is told. */
import { createHash } from 'node:crypto';

import { TidelogError } from '../../protocol/errors.ts';
import { resourcePath } from '../cli/api.ts';
import type { AlternativeJson } from '../http/commits.ts';
import type { DemoDevice } from './device.ts';
import type { Household } from './household.ts';

export interface Step {
  readonly step: string;
  readonly says: string;
  /** What a program would want to know of it. */
  readonly facts: Readonly<Record<string, unknown>>;
}

interface Conflict {
  readonly subject: string;
  readonly property: string;
  readonly alternatives: readonly AlternativeJson[];
}

const NOTE = 'note/holiday';
const LIST = 'list/shopping';
const COUNTER = 'counter/coffee';

export async function* tellStory(home: Household): AsyncGenerator<Step> {
  const { laptop, phone, pi, devices, signal } = home;

  await Promise.all(devices.map((device) => device.init()));
  await Promise.all(devices.map((device) => device.start(signal)));
  yield {
    step: 'started',
    says: 'Three devices: a laptop, a phone and a Raspberry Pi. Each is a process with its own key and its own store.',
    facts: { ids: Object.fromEntries(devices.map(({ name, id }) => [name, id])) },
  };

  for (const guest of [phone, pi]) {
    const digits = await pair(home, laptop, guest);
    yield {
      step: 'paired',
      says: `The laptop makes a pairing link, the ${guest.name} joins with it. Both show the digits ${digits}.`,
      facts: { device: guest.name, digits },
    };
  }

  await write(home, laptop, { subject: NOTE, set: { title: 'Summer holiday', place: 'by the sea' } });
  await write(home, phone, { subject: LIST, add: { items: ['milk', 'bread'] } });
  await write(home, pi, { subject: COUNTER, inc: { cups: 1 } });
  await home.until(() => home.isLevel(), 'all devices have what was written');
  yield {
    step: 'written',
    says: 'The laptop writes a note, the phone a shopping list, the pi counts a cup of coffee. Each arrives on the other two.',
    facts: { arrivals: arrivals(home) },
  };

  await Promise.all(devices.map((device) => write(home, device, { subject: COUNTER, inc: { cups: 1 } })));
  await home.until(() => home.isLevel(), 'all devices have all cups');
  const cups = (await read(pi, COUNTER))['cups'];
  yield {
    step: 'counted',
    says: `All three count a cup in the same instant, and none is lost: ${String(cups)} cups, everywhere.`,
    facts: { cups },
  };

  await phone.stop();
  yield { step: 'offline', says: 'The phone goes offline: its process is stopped.', facts: { device: phone.name } };

  await write(home, laptop, { subject: NOTE, set: { title: 'A week in Rome' } });
  await write(home, pi, { subject: LIST, add: { items: ['cheese'] }, remove: { items: ['milk'] } });
  await write(home, pi, { subject: COUNTER, inc: { cups: 1 } });
  await write(home, phone, { subject: NOTE, set: { title: 'A week in Paris' } });
  await write(home, phone, { subject: LIST, add: { items: ['eggs'] } });
  await write(home, phone, { subject: COUNTER, inc: { cups: 1 } });
  await home.until(
    () => home.progress.behind(pi.name) === home.progress.behind(laptop.name),
    'the pi and the laptop are level',
  );
  const missing = { phone: home.progress.behind(phone.name), others: home.progress.behind(laptop.name) };
  yield {
    step: 'edited',
    says:
      `Meanwhile both sides go on. The laptop calls the holiday "A week in Rome"; the phone, which knows nothing of it, "A week in Paris". ` +
      `Both buy and drink: the pi adds cheese to the list and takes the milk off, the phone adds eggs, and each counts a cup. ` +
      `The phone is ${missing.phone} commits behind, the others ${missing.others}.`,
    facts: { missing },
  };

  await phone.start(signal);
  const startMs = performance.now();
  home.follow(phone);
  await home.until(() => home.isLevel(), 'the phone has caught up, and the others with it');
  const levelMs = Math.round(performance.now() - startMs);
  yield {
    step: 'reconnected',
    says: `The phone is back. ${levelMs} ms after its start nobody is behind any more.`,
    facts: { levelMs },
  };

  const views = await Promise.all(devices.map((device) => conflicts(device)));
  const [conflict] = views[0]!;
  if (!conflict || !areEqual(views)) throw new TidelogError('internal', 'the devices do not see the same conflict');
  const shown = conflict.alternatives.map(({ value, deviceName }) => ({ value, by: deviceName }));
  yield {
    step: 'conflict',
    says:
      `All three show the same title, "${String(shown[0]!.value)}", and the same conflict: ` +
      `${shown.map(({ value, by }) => `the ${by} wrote "${String(value)}"`).join(', ')}. Nothing is lost, and a person decides. ` +
      `The list and the counter took in both sides' changes without asking anybody: ${(await items(phone)).join(', ')}.`,
    facts: { subject: conflict.subject, property: conflict.property, alternatives: shown, devices: views.length },
  };

  const title = 'Rome, then Paris';
  await write(home, pi, { subject: NOTE, set: { title } });
  await home.until(async () => home.isLevel() && !(await anyConflicts(devices)), 'the conflict is gone everywhere');
  yield {
    step: 'resolved',
    says: `The pi decides: "${title}". It has seen both, so both are replaced, and the conflict is gone on all three.`,
    facts: { title, arrivals: arrivals(home) },
  };

  const digests = await Promise.all(devices.map((device) => digestOf(device)));
  if (!areEqual(digests)) throw new TidelogError('internal', 'the devices do not hold the same');
  yield {
    step: 'equal',
    says: `What the three export is the same, byte for byte: SHA-256 ${digests[0]!.slice(0, 16)}…`,
    facts: { sha256: digests },
  };
}

/** Returns the digits that both sides show. */
async function pair(home: Household, host: DemoDevice, guest: DemoDevice): Promise<string> {
  const { link, id } = (await host.api.call('POST', '/v1/pairing/invites', { role: 'writer' })).body as {
    link: string;
    id: string;
  };
  let shown = '';
  for await (const { event, data } of guest.api.stream('POST', '/v1/pairing/join', { link }, home.signal))
    if (event === 'digits') shown = (data as { digits: string }).digits;
  const { digits } = (await host.api.call('GET', `/v1/pairing/invites/${id}`)).body as { digits: string };
  if (digits !== shown)
    throw new TidelogError('internal', `the ${guest.name} shows ${shown}, the ${host.name} ${digits}`);
  // The space was made by the first invite.
  if (guest === home.phone) home.follow(host);
  home.follow(guest);
  await home.until(() => home.progress.behind(guest.name) === 0, `the ${guest.name} has the space`);
  return digits;
}

async function write(home: Household, device: DemoDevice, change: Readonly<Record<string, unknown>>): Promise<void> {
  home.progress.noteWritten(device.name, await device.write(change));
}

async function read(device: DemoDevice, subject: string): Promise<Record<string, unknown>> {
  return (await device.api.call('GET', resourcePath(subject))).body as Record<string, unknown>;
}

async function items(device: DemoDevice): Promise<string[]> {
  const [list, counter] = [await read(device, LIST), await read(device, COUNTER)];
  return [...(list['items'] as string[]).toSorted(), `${String(counter['cups'])} cups`];
}

async function conflicts(device: DemoDevice): Promise<Conflict[]> {
  return ((await device.api.call('GET', '/v1/conflicts')).body as { items: Conflict[] }).items;
}

async function anyConflicts(devices: readonly DemoDevice[]): Promise<boolean> {
  return (await Promise.all(devices.map(conflicts))).some((found) => found.length > 0);
}

async function digestOf(device: DemoDevice): Promise<string> {
  const hash = createHash('sha256');
  for await (const line of device.api.lines('/v1/export')) hash.update(`${line}\n`);
  return hash.digest('hex');
}

function arrivals({ devices, progress }: Household): Record<string, unknown> {
  return Object.fromEntries(devices.map(({ name }) => [name, progress.lastArrival(name)]));
}

function areEqual(values: readonly unknown[]): boolean {
  return values.every((value) => JSON.stringify(value) === JSON.stringify(values[0]));
}
