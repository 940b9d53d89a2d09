/** Pair: let a device in by a link, decide about those that ask, or join another node. */
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';

import { useAction, useApp, useLoaded, useNode, useNow } from '../hooks.ts';
import { Digits, Field, Loading, Notice, Problem } from '../parts.tsx';
import type { NewInvite, PendingDevice, Role } from '../source.ts';
import { ago, nameOf, shortId } from '../words.ts';
import { InviteCard } from './invite.tsx';
import { JoinForm } from './join.tsx';
import { RoleField } from './role-field.tsx';

const EVERY_MS = 1000;
const LIVES = [
  ['10 minutes', 10 * 60_000],
  ['1 hour', 3600_000],
  ['1 day', 24 * 3600_000],
] as const;

export function PairView(): JSX.Element {
  const node = useNode();
  const { status, current } = useApp();
  // A node without a space founds one, and is its owner.
  const mayLetIn = current === null || current.role === 'owner';
  const pending = useLoaded(() => node.pending(), [], EVERY_MS);
  return (
    <>
      <h1 tabIndex={-1}>Pair</h1>
      {status === null ? <Loading rows={3} what="the space" /> : mayLetIn ? <InviteSection /> : <OwnersOnly />}
      <section aria-labelledby="pending-title">
        <h2 id="pending-title">Waiting to be let in</h2>
        {pending.error !== null && <Problem onRetry={pending.reload}>{pending.error}</Problem>}
        {pending.value === undefined && pending.error === null && <Loading rows={1} what="devices that wait" />}
        {pending.value?.length === 0 && (
          <p class="hint">Nobody waits. A device that asks by this node’s address alone appears here.</p>
        )}
        <ul class="cards">
          {pending.value?.map((device) => (
            <PendingCard key={device.id} device={device} mayLetIn={mayLetIn} onDecided={pending.reload} />
          ))}
        </ul>
      </section>
      <section aria-labelledby="join-title">
        <h2 id="join-title">Join another device</h2>
        <JoinForm />
      </section>
    </>
  );
}

/** Who can, in place of what would be refused. */
function OwnersOnly(): JSX.Element {
  const { source, current } = useApp();
  const { value: devices = [] } = useLoaded(() => source.devices(), []);
  const owners = devices.filter(({ role, recovery }) => role === 'owner' && !recovery).map(nameOf);
  return (
    <section aria-labelledby="invite-title">
      <h2 id="invite-title">Let a device in</h2>
      <Notice>
        Only an owner lets devices in, and this device {current?.role ? `is a ${current.role}` : 'has been revoked'}.
        {owners.length > 0 && ` Do it on ${owners.join(' or ')}.`}
      </Notice>
    </section>
  );
}

function PendingCard({
  device,
  mayLetIn,
  onDecided,
}: {
  device: PendingDevice;
  mayLetIn: boolean;
  onDecided: () => Promise<void>;
}): JSX.Element {
  const { say, reloadStatus } = useApp();
  const node = useNode();
  const [role, setRole] = useState<Role>('writer');
  const { busy, error, run } = useAction(onDecided);
  const now = useNow();
  const name = device.name === '' ? shortId(device.id) : device.name;
  const decide = async (action: () => Promise<void>, word: string): Promise<void> => {
    if (!(await run(action))) return;
    say(`${name} is ${word}`);
    reloadStatus();
  };
  return (
    <li class="card">
      <h3>{name}</h3>
      <p class="hint">
        from {device.address}, asked {ago(device.sinceMs, now)}
      </p>
      {mayLetIn ? (
        <>
          <p>Let it in only if it shows the same six digits:</p>
          <Digits digits={device.digits} />
        </>
      ) : (
        <p>It asked this device, which can’t let it in. An owner can: ask by an owner’s address.</p>
      )}
      {mayLetIn && <RoleField role={role} onRole={setRole} />}
      {error !== null && <Problem>{error}</Problem>}
      <div class="buttons">
        {mayLetIn && (
          <button
            type="button"
            class="primary"
            disabled={busy}
            onClick={() => void decide(() => node.approve(device.id, role), 'in')}
          >
            The digits are the same: let it in
          </button>
        )}
        <button
          type="button"
          class="danger"
          disabled={busy}
          onClick={() => void decide(() => node.reject(device.id), 'turned away')}
        >
          Turn it away
        </button>
      </div>
    </li>
  );
}

function InviteSection(): JSX.Element {
  const node = useNode();
  const [role, setRole] = useState<Role>('writer');
  const [lifeMs, setLifeMs] = useState<number>(LIVES[0][1]);
  const [invite, setInvite] = useState<NewInvite | null>(null);
  const { busy, error, run } = useAction();
  const make = (event: Event): void => {
    event.preventDefault();
    void run(async () => setInvite(await node.invite(role, lifeMs)));
  };
  return (
    <section aria-labelledby="invite-title">
      <h2 id="invite-title">Let a device in</h2>
      {invite === null ? (
        <form class="boxed" onSubmit={make}>
          <RoleField role={role} onRole={setRole} />
          <Field label="The link works for">
            {(ids) => (
              <select {...ids} value={lifeMs} onChange={(event) => setLifeMs(Number(event.currentTarget.value))}>
                {LIVES.map(([words, ms]) => (
                  <option key={ms} value={ms}>
                    {words}
                  </option>
                ))}
              </select>
            )}
          </Field>
          {error !== null && <Problem>{error}</Problem>}
          <button type="submit" class="primary" disabled={busy}>
            Make a link
          </button>
        </form>
      ) : (
        <InviteCard key={invite.id} made={invite} onDone={() => setInvite(null)} />
      )}
    </section>
  );
}
