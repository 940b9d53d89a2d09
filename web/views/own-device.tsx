/** This browser as a device: becoming one, with the digits to compare, and what is said where its data can't be had. */
import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';

import { messageOf } from '../hooks.ts';
import { Mark } from '../icons.tsx';
import { guessedName, openOwnDevice, ownDevice, rememberOwnDevice } from '../own-device.ts';
import { Digits, Field, Problem } from '../parts.tsx';
import type { LostNotice, PeerSource } from '../peer-source.ts';
import type { JoinStep } from '../source.ts';

interface Joining {
  readonly peer: PeerSource;
  readonly digits: string | null;
  readonly at: JoinStep['step'] | 'connecting';
}

/** `link`: null asks the node, and a person there decides. */
export function BecomeDevice({
  link,
  onJoined,
  onLost,
}: {
  link: string | null;
  onJoined: (peer: PeerSource) => void;
  onLost: (lost: LostNotice) => void;
}): JSX.Element {
  const [name, setName] = useState(() => ownDevice() ?? guessedName());
  const [joining, setJoining] = useState<Joining | 'opening' | null>(null);
  const [error, setError] = useState<string | null>(null);
  const abort = useRef<AbortController | null>(null);
  useEffect(() => () => abort.current?.abort(), []);

  const join = async (event: Event): Promise<void> => {
    event.preventDefault();
    const own = new AbortController();
    abort.current = own;
    setError(null);
    setJoining('opening');
    let peer: PeerSource | null = null;
    try {
      peer = await openOwnDevice(name, onLost);
      const opened = peer;
      setJoining({ peer, digits: null, at: 'connecting' });
      for await (const step of peer.join(link, own.signal)) {
        // From here on the node holds it for a member: a page that is loaded again goes on with it.
        if (step.step === 'joined') rememberOwnDevice(name);
        const digits = step.step === 'digits' ? step.digits : null;
        setJoining((old) => ({
          peer: opened,
          digits: digits ?? (old as Joining | null)?.digits ?? null,
          at: step.step,
        }));
      }
    } catch (thrown) {
      // One that isn't in is opened anew at the next try.
      if (peer && !peer.isMember) await peer.close();
      setJoining(null);
      if (!own.signal.aborted) setError(messageOf(thrown));
    }
  };
  const differ = async (peer: PeerSource): Promise<void> => {
    abort.current?.abort();
    rememberOwnDevice(null);
    await peer.leave().catch(() => {});
    setJoining(null);
    setError(
      'What this browser had is deleted. On the other device revoke the newest one under Devices: something stands between the two.',
    );
  };

  if (joining === null)
    return (
      <form class="boxed" onSubmit={(event) => void join(event)}>
        <Field label="Name of this device" hint="As the others will show it.">
          {(ids) => (
            <input
              {...ids}
              required
              autocomplete="off"
              value={name}
              onInput={(event) => setName(event.currentTarget.value)}
            />
          )}
        </Field>
        {error !== null && <Problem>{error}</Problem>}
        <button type="submit" class="primary wide">
          {link === null ? 'Ask to be let in' : 'Make this browser a device'}
        </button>
      </form>
    );
  if (joining === 'opening')
    return (
      <p class="boxed" role="status">
        Making a key for this device…
      </p>
    );
  return (
    <div class="boxed" role="status">
      <JoinProgress joining={joining} />
      {joining.at === 'joined' || joining.at === 'synced' ? (
        <div class="buttons">
          <button type="button" class="primary" onClick={() => onJoined(joining.peer)}>
            They are the same: go on
          </button>
          <button type="button" class="danger" onClick={() => void differ(joining.peer)}>
            They differ
          </button>
        </div>
      ) : (
        <button type="button" onClick={() => abort.current?.abort()}>
          Stop
        </button>
      )}
    </div>
  );
}

function JoinProgress({ joining: { digits, at } }: { joining: Joining }): JSX.Element {
  return (
    <>
      {digits === null ? (
        <p>Connecting…</p>
      ) : (
        <>
          <p>Does the other device show these digits?</p>
          <Digits digits={digits} />
        </>
      )}
      {at === 'pending' && <p>Waiting until a person there lets this device in, under Pair…</p>}
      {at === 'joined' && <p>It let this device in. Its data is coming…</p>}
      {at === 'synced' && <p>It let this device in, and everything that it has is here.</p>}
    </>
  );
}

/** Opens the peer that this browser has. */
export function OwnDevice({
  name,
  onOpened,
  onLost,
}: {
  name: string;
  onOpened: (peer: PeerSource) => void;
  onLost: (lost: LostNotice) => void;
}): JSX.Element {
  const [error, setError] = useState<string | null>(null);
  const openIt = (): void => {
    setError(null);
    openOwnDevice(name, onLost).then(onOpened, (thrown: unknown) => setError(messageOf(thrown)));
  };
  useEffect(openIt, []);
  return (
    <Outside>
      {error === null ? <p role="status">Opening {name}…</p> : <Problem onRetry={openIt}>{error}</Problem>}
    </Outside>
  );
}

/** The browser deleted its data, another tab did, or a newer version of the page has taken it. */
export function LostDevice({ why }: { why: string }): JSX.Element {
  return (
    <Outside>
      <Problem onRetry={() => window.location.reload()}>This device is not open here any more: {why}</Problem>
    </Outside>
  );
}

export function Outside({ children }: { children: ComponentChildren }): JSX.Element {
  return (
    <main class="outside">
      <h1 class="brand">
        <Mark /> Tidelog
      </h1>
      {children}
    </main>
  );
}
