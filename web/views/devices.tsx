/** Devices: who is in, as what, and how far each is; renamed, given another role, or shut out. */
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';

import { useAction, useApp, useLoaded, useNow } from '../hooks.ts';
import { Confirm, Dialog, Empty, Field, Loading, Notice, Problem } from '../parts.tsx';
import { linkTo } from '../route.ts';
import type { Device, Role } from '../source.ts';
import { ago, hostOf, nameOf, plural, progress, shortId } from '../words.ts';
import { RoleField } from './role-field.tsx';

const EVERY_MS = 2000;

export function DevicesView(): JSX.Element {
  const { source, status } = useApp();
  const { value: devices, error, reload } = useLoaded(() => source.devices(), [], EVERY_MS);
  const now = useNow();
  const isOwner = devices?.some(({ self, role }) => self && role === 'owner') ?? false;
  const isRevoked = devices?.some(({ self, revoked }) => self && revoked) ?? false;
  const present = devices?.filter(({ revoked }) => !revoked) ?? [];
  const revoked = devices?.filter((device) => device.revoked) ?? [];
  const unreached = status?.peers.filter(({ id, error }) => id === '' && error !== null) ?? [];

  return (
    <>
      <h1 tabIndex={-1}>Devices</h1>
      {error !== null && <Problem onRetry={reload}>{error}</Problem>}
      {devices === undefined && error === null && <Loading rows={4} what="devices" />}
      {devices && present.length < 2 && !isRevoked && (
        <Empty title="Only this device">
          {source.node === null ? (
            'Another one appears here as soon as this browser is paired with it.'
          ) : (
            <>
              <a href={linkTo('pair')}>Pair another one</a>, and each has what the other writes.
            </>
          )}
        </Empty>
      )}
      <OneOwner present={present} />
      <ul class="cards">
        {present.map((device) => (
          <DeviceCard key={device.id} device={device} isOwner={isOwner} now={now} onChanged={reload} />
        ))}
      </ul>
      {devices && !isOwner && !isRevoked && present.length > 0 && (
        <p class="hint">Names and roles are an owner’s to change: do it on a device that is one.</p>
      )}
      {source.node === null && devices && <OwnBrowser />}
      {unreached.length > 0 && (
        <section>
          <h2>Addresses that don’t answer</h2>
          <ul>
            {unreached.map(({ address, error: why }) => (
              <li key={address}>
                {address}: {why}
              </li>
            ))}
          </ul>
        </section>
      )}
      {revoked.length > 0 && (
        <section>
          <h2>Revoked</h2>
          <ul class="cards">
            {revoked.map((device) => (
              <DeviceCard key={device.id} device={device} isOwner={false} now={now} onChanged={reload} />
            ))}
          </ul>
        </section>
      )}
    </>
  );
}

/** Where others are in, and one key alone decides who is: doctor and status say so too. */
function OneOwner({ present }: { present: readonly Device[] }): JSX.Element | null {
  const owners = present.filter(({ role }) => role === 'owner');
  if (present.length < 2 || owners.length !== 1) return null;
  return (
    <Notice kind="warn">
      <p>
        {owners[0]!.self ? 'This device is the one owner' : `${nameOf(owners[0]!)} is the one owner`}. If it is lost,
        nobody can let a device in or revoke one any more.
      </p>
      <p class="todo">
        Make a key for paper: run <code>tidelog recovery create</code> on its machine. Or make a second device an owner.
      </p>
    </Notice>
  );
}

/** What is different where this browser is the device itself. */
function OwnBrowser(): JSX.Element {
  const { source } = useApp();
  const [isForgetting, setForgetting] = useState(false);
  const { busy, error, run, clear } = useAction();
  return (
    <section>
      <h2>This browser</h2>
      <p>
        It is a device of its own: its key and its log are in this browser, for the address {window.location.host}. It
        works while the others are out of reach, as long as this page stays open. If the browser makes room by deleting
        them, whatever another device has comes back. Letting devices in, health and backups are on a node’s page:{' '}
        <code>tidelog open</code>.
      </p>
      <button type="button" class="danger" onClick={() => setForgetting(true)}>
        Forget this device
      </button>
      {isForgetting && (
        <Confirm
          title="Forget this device?"
          action="Delete its data here"
          danger
          busy={busy}
          error={error}
          onConfirm={() => void run(() => source.leave())}
          onClose={() => {
            setForgetting(false);
            clear();
          }}
        >
          <p>
            Its key and its log are deleted from this browser. What no other device has yet is lost. On another device,
            revoke it too: it stays a member otherwise.
          </p>
        </Confirm>
      )}
    </section>
  );
}

function DeviceCard({
  device,
  isOwner,
  now,
  onChanged,
}: {
  device: Device;
  isOwner: boolean;
  now: number;
  onChanged: () => Promise<void>;
}): JSX.Element {
  const [open, setOpen] = useState<'edit' | 'revoke' | null>(null);
  const { source, say } = useApp();
  const revoking = useAction(onChanged);
  const name = nameOf(device);
  const revoke = async (): Promise<void> => {
    if (!(await revoking.run(() => source.revoke(device.id)))) return;
    setOpen(null);
    say(`${name} is revoked`);
  };
  return (
    <li class="card">
      <div class="card-head">
        <h2>
          <span
            class={`dot ${!device.revoked && (device.connected || device.self) ? 'good' : 'off'}`}
            role="img"
            aria-label={device.self ? 'this device' : device.connected ? 'connected' : 'not connected'}
          />{' '}
          {name}
        </h2>
        <span class="badge">{device.role ?? 'revoked'}</span>
      </div>
      <p class="progress">{sentence(device, now)}</p>
      <dl class="facts">
        {!device.recovery && (
          <div>
            <dt>Address</dt>
            <dd>{device.self ? 'here' : device.address === null ? 'none known' : hostOf(device.address)}</dd>
          </div>
        )}
        <div>
          <dt>ID</dt>
          <dd>
            <details class="id">
              <summary>{shortId(device.id)}…</summary>
              {device.id}
            </details>
          </dd>
        </div>
      </dl>
      {isOwner && (
        <div class="buttons">
          <button type="button" onClick={() => setOpen('edit')}>
            Name and role<span class="hidden"> of {name}</span>
          </button>
          {!device.self && (
            <button type="button" class="danger" onClick={() => setOpen('revoke')}>
              Revoke<span class="hidden"> {name}</span>
            </button>
          )}
        </div>
      )}
      {open === 'edit' && <EditDevice device={device} onClose={() => setOpen(null)} onChanged={onChanged} />}
      {open === 'revoke' && (
        <Confirm
          title={`Revoke ${name}?`}
          action={`Revoke ${name} for good`}
          danger
          busy={revoking.busy}
          error={revoking.error}
          onConfirm={() => void revoke()}
          onClose={() => {
            setOpen(null);
            revoking.clear();
          }}
        >
          <p>
            <strong>This can’t be taken back.</strong> {name} gets nothing new from now on, and nothing that it writes
            counts any more, on any device. It keeps what it has already.
          </p>
          {device.ahead !== null && device.ahead > 0 && (
            <p>It has {plural(device.ahead, 'commit')} that did not come here yet. That will be lost.</p>
          )}
          <p>To let the same machine in again, it needs a new data folder, and to be paired anew.</p>
        </Confirm>
      )}
    </li>
  );
}

/** `Up to date, seen 2 s ago.` */
function sentence(device: Device, now: number): string {
  const how = progress(device);
  const begin = how[0]!.toUpperCase() + how.slice(1);
  if (device.self || device.revoked || device.recovery) return `${begin}.`;
  if (device.connected) return `${begin}, connected now.`;
  if (device.lastSeenMs === null) return 'Known from others: this device has never met it.';
  return `${begin}, seen ${ago(device.lastSeenMs, now)}.`;
}

function EditDevice({
  device,
  onClose,
  onChanged,
}: {
  device: Device;
  onClose: () => void;
  onChanged: () => Promise<void>;
}): JSX.Element {
  const { source, say } = useApp();
  const [name, setName] = useState(device.name);
  const [role, setRole] = useState<Role>(device.role ?? 'reader');
  const { busy, error, run } = useAction(onChanged);
  const save = async (event: Event): Promise<void> => {
    event.preventDefault();
    const isDone = await run(async () => {
      if (name !== device.name) await source.renameDevice(device.id, name);
      if (role !== device.role) await source.setRole(device.id, role);
    });
    if (!isDone) return;
    onClose();
    say(`${name} is ${role}`);
  };
  return (
    <Dialog title={`Name and role of ${nameOf(device)}`} onClose={onClose}>
      <form onSubmit={(event) => void save(event)}>
        <Field label="Name" hint="As all devices show it.">
          {(ids) => <input {...ids} required value={name} onInput={(event) => setName(event.currentTarget.value)} />}
        </Field>
        <RoleField role={role} onRole={setRole} />
        {error !== null && <Problem>{error}</Problem>}
        <div class="buttons">
          <button type="submit" class="primary" disabled={busy}>
            Store
          </button>
          <button type="button" onClick={onClose}>
            Cancel
          </button>
        </div>
      </form>
    </Dialog>
  );
}
