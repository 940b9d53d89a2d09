/** A link that was just made: shown until somebody has used it or its time is over, and then what came of it. */
import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';

import { useAction, useApp, useLoaded, useNode, useNow } from '../hooks.ts';
import { Digits, Notice, Problem } from '../parts.tsx';
import { linkTo } from '../route.ts';
import type { Invite, NewInvite } from '../source.ts';
import { countdown, nameOf } from '../words.ts';
import { Qr } from './qr.tsx';

const EVERY_MS = 1000;
const LOOPBACK = /^https?:\/\/(127\.|localhost|\[::1\])/;

const OVER: Readonly<Record<Exclude<Invite['state'], 'open' | 'used'>, string>> = {
  expired: 'The link is too old. Nobody used it.',
  dead: 'Somebody came with a wrong secret three times, so the link is dead.',
  cancelled: 'The link was taken back.',
};

export function InviteCard({ made, onDone }: { made: NewInvite; onDone: () => void }): JSX.Element {
  const { say } = useApp();
  const node = useNode();
  const [isOver, setOver] = useState(false);
  const loaded = useLoaded<Invite>(() => node.inviteState(made.id), [made.id], isOver ? undefined : EVERY_MS);
  const state = loaded.value ?? made;
  const now = useNow();
  const leftMs = made.expiresMs - now;

  // An invite is used up a moment before the device is let in, and the digits are known.
  const isSettled = state.state === 'used' ? state.digits !== null : state.state !== 'open';
  useEffect(() => setOver(isSettled), [isSettled]);
  useEffect(() => {
    if (state.state === 'used') say('A device has joined. Compare the six digits.');
  }, [state.state]);

  if (state.state === 'used') return <Joined state={state} onDone={onDone} />;
  if (state.state !== 'open' || leftMs <= 0)
    return (
      <div class="card" role="status">
        <p>{OVER[state.state === 'open' ? 'expired' : state.state]}</p>
        <button type="button" class="primary" onClick={onDone}>
          Make a new link
        </button>
      </div>
    );
  return (
    <div class="card invite">
      <Qr text={made.link} label="QR code of the link, for a phone’s camera" />
      <div class="invite-words">
        <p class="countdown">
          Works once, for <strong role="timer">{countdown(leftMs)}</strong> more
        </p>
        {made.addresses.every((address) => LOOPBACK.test(address)) && (
          <Notice kind="warn">
            No other machine can reach this node: it listens on this machine only. Start it with{' '}
            <code>tidelog start --lan</code>, then make a new link.
          </Notice>
        )}
        <p>Scan the code with a phone, and its browser becomes a device. Or run this on another machine:</p>
        <pre class="wrap" tabIndex={0}>
          <code>tidelog pair join '{made.link}'</code>
        </pre>
        {loaded.error !== null && <Problem onRetry={loaded.reload}>{loaded.error}</Problem>}
        <LinkButtons made={made} onDone={onDone} />
      </div>
    </div>
  );
}

function LinkButtons({ made, onDone }: { made: NewInvite; onDone: () => void }): JSX.Element {
  const node = useNode();
  const [copied, setCopied] = useState<boolean | null>(null);
  const { busy, error, run } = useAction();
  const copy = (): void =>
    void Promise.resolve()
      .then(() => navigator.clipboard.writeText(made.link))
      .then(
        () => setCopied(true),
        () => setCopied(false),
      );
  const takeBack = (): void =>
    void run(async () => {
      await node.cancelInvite(made.id);
      onDone();
    });
  return (
    <>
      {error !== null && <Problem>{error}</Problem>}
      <div class="buttons">
        <button type="button" onClick={copy}>
          Copy the link
        </button>
        <button type="button" disabled={busy} onClick={takeBack}>
          Take it back
        </button>
        <span role="status" class="beside">
          {copied === true && 'Copied.'}
          {copied === false && 'The browser doesn’t let the page copy here: select the text by hand.'}
        </span>
      </div>
    </>
  );
}

function Joined({ state, onDone }: { state: Invite; onDone: () => void }): JSX.Element {
  const { source } = useApp();
  // It is listed, and has a name, once it is let in, which may be a moment after the digits are there.
  const { value: devices = [] } = useLoaded(() => source.devices(), [], EVERY_MS);
  const id = state.usedBy ?? '';
  return (
    <div class="card">
      <h3>A device has joined</h3>
      {state.digits === null ? (
        <p>It is being let in…</p>
      ) : (
        <>
          <p>Both devices show these digits. If the other shows different ones, revoke it at once.</p>
          <Digits digits={state.digits} />
        </>
      )}
      <p class="hint">
        It is {nameOf(devices.find((device) => device.id === id) ?? { id, name: '' })}, as {state.role}.
      </p>
      <div class="buttons">
        <a class="button primary" href={linkTo('devices')}>
          See the devices
        </a>
        <button type="button" onClick={onDone}>
          Let another in
        </button>
      </div>
    </div>
  );
}
