/** Devices and pairing between real nodes, over HTTP and real connections. */
import { afterEach, expect, test } from 'vitest';

import { nodeCrypto } from '../../../client/platform/crypto-node.ts';
import { randomBytes } from '../../../client/platform/random.ts';
import { formatDeviceId } from '../../../protocol/device-id.ts';
import { startTestNode, type TestNode } from '../../support/node.ts';

const nodes: TestNode[] = [];
afterEach(async () => {
  for (const node of nodes.splice(0)) await node.dispose();
});

async function start(name: string): Promise<TestNode> {
  const node = await startTestNode({ name });
  nodes.push(node);
  return node;
}

type Json = Record<string, unknown>;

async function call(node: TestNode, method: string, path: string, body?: unknown): Promise<Json> {
  return (await (await node.request(method, path, { body })).json()) as Json;
}

const read = (node: TestNode, subject: string): Promise<Json> =>
  call(node, 'GET', `/v1/resources/${encodeURIComponent(subject)}`);

async function pair(host: TestNode, guest: TestNode, invite: Json = {}): Promise<Json> {
  const { link } = await call(host, 'POST', '/v1/pairing/invites', invite);
  return call(guest, 'POST', '/v1/pairing/join', { link });
}

test('a link lets one device in once: both sides show the same digits, and what one writes the other has', async () => {
  const [laptop, phone, third] = [await start('laptop'), await start('phone'), await start('third')];
  await call(laptop, 'PUT', '/v1/resources/a', { v: 1 });
  const invite = await call(laptop, 'POST', '/v1/pairing/invites', { role: 'writer', lifeMs: 60_000 });
  expect(invite).toMatchObject({ role: 'writer', state: 'open', usedBy: null, digits: null, addresses: [laptop.url] });
  expect(String(invite['link']).startsWith(`${laptop.url}/#pair=`)).toBe(true);

  const joined = await call(phone, 'POST', '/v1/pairing/join', { link: invite['link'] });
  expect(joined).toMatchObject({
    device: laptop.peer.id,
    role: 'writer',
    digits: expect.stringMatching(/^\d{3}[ ]?\d{3}$/),
  });
  const path = `/v1/pairing/invites/${String(invite['id'])}`;
  const used = await call(laptop, 'GET', path);
  expect(used).toMatchObject({ state: 'used', usedBy: phone.peer.id, digits: joined['digits'] });
  expect(used).not.toHaveProperty('link');

  await expect.poll(() => read(phone, 'a')).toEqual({ v: 1 });
  await call(phone, 'PUT', '/v1/resources/b', { v: 2 });
  await expect.poll(() => read(laptop, 'b')).toEqual({ v: 2 });

  expect(await call(third, 'POST', '/v1/pairing/join', { link: invite['link'] })).toMatchObject({
    status: 410,
    code: 'invite-used',
  });

  const { items } = (await call(laptop, 'GET', '/v1/devices')) as { items: Json[] };
  expect(items).toMatchObject([
    { id: laptop.peer.id, name: 'laptop', role: 'owner', self: true, revoked: false },
    { id: phone.peer.id, name: 'phone', role: 'writer', self: false, revoked: false, connected: true },
  ]);
  const status = (await call(laptop, 'GET', '/v1/status')) as { peers: Json[] };
  expect(status.peers).toMatchObject([{ id: phone.peer.id, name: 'phone', connected: true }]);
});

test('as events, joining shows the digits first and says when everything is here', async () => {
  const [laptop, phone] = [await start('laptop'), await start('phone')];
  await call(laptop, 'PUT', '/v1/resources/a', { v: 1 });
  const { link } = await call(laptop, 'POST', '/v1/pairing/invites', {});
  const response = await phone.request('POST', '/v1/pairing/join', {
    body: { link },
    headers: { accept: 'text/event-stream' },
  });
  const names = [...(await response.text()).matchAll(/^event: (.*)$/gm)].map(([, name]) => name);
  expect(names).toEqual(['digits', 'joined', 'synced']);
  expect(await read(phone, 'a')).toEqual({ v: 1 });
});

test('a device that asks waits until a person approves or rejects it', async () => {
  const [laptop, phone, stranger] = [await start('laptop'), await start('phone'), await start('stranger')];
  await call(laptop, 'PUT', '/v1/resources/a', { v: 1 });
  const asking = call(phone, 'POST', '/v1/pairing/join', { link: laptop.url });
  const refused = call(stranger, 'POST', '/v1/pairing/join', { link: laptop.url });
  const pending = async (): Promise<Json[]> =>
    ((await call(laptop, 'GET', '/v1/pairing/pending')) as { items: Json[] }).items;
  await expect.poll(async () => (await pending()).map(({ name }) => name).toSorted()).toEqual(['phone', 'stranger']);
  expect(await call(laptop, 'POST', `/v1/pairing/pending/${stranger.peer.id}/reject`)).toEqual({
    id: stranger.peer.id,
  });
  expect(await refused).toMatchObject({ status: 403, code: 'pairing-rejected' });
  const [waiting] = await pending();
  await call(laptop, 'POST', `/v1/pairing/pending/${phone.peer.id}/approve`, { role: 'reader' });
  expect(await asking).toMatchObject({ device: laptop.peer.id, role: 'reader', digits: waiting!['digits'] });
  await expect.poll(() => read(phone, 'a')).toEqual({ v: 1 });
  expect(await call(phone, 'PUT', '/v1/resources/b', { v: 2 })).toMatchObject({ status: 403, code: 'read-only' });
  expect(await call(laptop, 'POST', `/v1/pairing/pending/${phone.peer.id}/approve`)).toMatchObject({
    code: 'unknown-device',
  });
});

test('owners rename, change roles and revoke; nobody takes away the last owner', async () => {
  const [laptop, phone] = [await start('laptop'), await start('phone')];
  await call(laptop, 'PUT', '/v1/resources/a', { v: 1 });
  await pair(laptop, phone);
  const path = `/v1/devices/${phone.peer.id}`;
  await expect.poll(() => read(phone, 'a')).toEqual({ v: 1 });
  expect(await call(phone, 'PATCH', path, { name: 'mine' })).toMatchObject({ status: 403, code: 'not-an-owner' });
  expect(await call(laptop, 'PATCH', path, { name: 'telephone', role: 'reader' })).toEqual({ id: phone.peer.id });
  const { items } = (await call(laptop, 'GET', '/v1/devices')) as { items: Json[] };
  expect(items[1]).toMatchObject({ name: 'telephone', role: 'reader' });
  expect(await call(laptop, 'PATCH', path, { role: 'king' })).toMatchObject({ status: 400, code: 'bad-role' });
  expect(await call(laptop, 'PATCH', path, {})).toMatchObject({ status: 400, code: 'bad-request' });
  expect(await call(laptop, 'DELETE', `/v1/devices/${laptop.peer.id}`)).toMatchObject({
    status: 409,
    code: 'last-owner',
  });
  expect(await call(laptop, 'DELETE', path)).toEqual({ id: phone.peer.id });
  const after = (await call(laptop, 'GET', '/v1/devices')) as { items: Json[] };
  expect(after.items[1]).toMatchObject({ revoked: true, role: null });
  await expect
    .poll(async () => ((await call(laptop, 'GET', '/v1/devices')) as { items: Json[] }).items[1]!['connected'])
    .toBe(false);
});

test('a recovery key is an owner that nobody waits for: no peer, nothing to measure, and trusted with nothing', async () => {
  const laptop = await start('laptop');
  await call(laptop, 'PUT', '/v1/resources/a', { v: 1 });
  const key = nodeCrypto.ed25519KeyPair(randomBytes(32)).public;
  const id = formatDeviceId(key);
  const post = (body: Json): Promise<Json> => call(laptop, 'POST', '/v1/devices', { id, name: 'paper', ...body });
  for (const body of [{ recovery: 'yes' }, { recovery: true }, { recovery: true, role: 'writer' }])
    expect(await post(body), JSON.stringify(body)).toMatchObject({ status: 400, code: 'bad-request' });
  expect(await post({ recovery: true, role: 'owner' })).toMatchObject({ id, member: true, space: { name: 'home' } });
  const { items } = (await call(laptop, 'GET', '/v1/devices')) as { items: Json[] };
  expect(items).toMatchObject([
    { name: 'laptop', recovery: false },
    { name: 'paper', role: 'owner', recovery: true, lastSeenMs: null },
  ]);
  expect((await call(laptop, 'GET', '/v1/status'))['peers']).toEqual([]);
  expect(await (await laptop.request('GET', '/metrics')).text()).not.toContain(id.slice(0, 7));
  expect(laptop.peer.knownDevices()).toEqual([]);
});

test('a wrong ID, link, secret or role is refused with its code', async () => {
  const [laptop, phone] = [await start('laptop'), await start('phone')];
  await call(laptop, 'PUT', '/v1/resources/a', { v: 1 });
  const typo = laptop.peer.id.replace(/^./, (first) => (first === 'A' ? 'B' : 'A'));
  expect(await call(laptop, 'POST', '/v1/devices', { id: typo })).toMatchObject({
    status: 400,
    code: 'bad-device-id',
    data: { groups: [1, 2] },
  });
  expect(await call(laptop, 'POST', '/v1/devices', {})).toMatchObject({ code: 'bad-device-id' });
  expect(await call(laptop, 'POST', '/v1/devices', { id: laptop.peer.id })).toMatchObject({
    status: 409,
    code: 'self-connect',
  });
  expect(await call(laptop, 'PATCH', `/v1/devices/${phone.peer.id}`, { name: 'x' })).toMatchObject({
    status: 404,
    code: 'unknown-device',
  });
  expect(await call(laptop, 'POST', '/v1/pairing/invites', { role: 'guest' })).toMatchObject({ code: 'bad-role' });
  expect(await call(laptop, 'POST', '/v1/pairing/invites', { lifeMs: 1 })).toMatchObject({ code: 'bad-argument' });
  expect(await call(laptop, 'GET', '/v1/pairing/invites/0000')).toMatchObject({ status: 404, code: 'invite-unknown' });
  expect(await call(phone, 'POST', '/v1/pairing/join', {})).toMatchObject({ status: 400, code: 'bad-link' });
  expect(await call(phone, 'POST', '/v1/pairing/join', { link: 'http://127.0.0.1:1/#pair=AAAA' })).toMatchObject({
    status: 400,
    code: 'bad-link',
  });
  const { link, id } = await call(laptop, 'POST', '/v1/pairing/invites', {});
  await call(laptop, 'DELETE', `/v1/pairing/invites/${String(id)}`);
  expect(await call(phone, 'POST', '/v1/pairing/join', { link })).toMatchObject({
    status: 404,
    code: 'invite-unknown',
  });
});

test('two devices that add each other need no link', async () => {
  const [laptop, phone] = [await start('laptop'), await start('phone')];
  await call(laptop, 'PUT', '/v1/resources/a', { v: 1 });
  expect(await call(laptop, 'POST', '/v1/devices', { id: phone.peer.id, name: 'phone', role: 'writer' })).toEqual({
    id: phone.peer.id,
    member: true,
  });
  expect(
    await call(phone, 'POST', '/v1/devices', { id: laptop.peer.id.toLowerCase(), address: laptop.url }),
  ).toMatchObject({ member: false });
  await expect.poll(() => read(phone, 'a'), { timeout: 5000 }).toEqual({ v: 1 });
});
