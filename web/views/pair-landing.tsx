/** Where a camera leads that saw a pairing link: this browser becomes a device by it, or the link is carried to where Tidelog is installed. */
import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';

import { isWholeLink } from '../own-device.ts';
import { Problem } from '../parts.tsx';
import type { LostNotice, PeerSource } from '../peer-source.ts';
import { BecomeDevice, Outside } from './own-device.tsx';

export function PairLanding({
  link,
  isInside,
  onLeave,
  onJoined,
  onLost,
}: {
  link: string;
  isInside: boolean;
  onLeave: () => void;
  onJoined: (peer: PeerSource) => void;
  onLost: (lost: LostNotice) => void;
}): JSX.Element {
  const [isWhole, setWhole] = useState<boolean | null>(null);
  useEffect(() => void isWholeLink(link).then(setWhole), [link]);
  const [copied, setCopied] = useState<'yes' | 'no' | null>(null);
  const command = `tidelog pair join '${link}'`;
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(command);
      setCopied('yes');
    } catch {
      // A page of a plain LAN address may not use the clipboard.
      setCopied('no');
    }
  };
  if (isWhole === false) return <DamagedLink onLeave={onLeave} />;
  if (isWhole === null)
    return (
      <Outside>
        <p role="status">Reading the link…</p>
      </Outside>
    );
  return (
    <Outside>
      <h2>Pair with {new URL(link).host}</h2>
      <p>
        This browser becomes a device with a key and a log of its own. It reads and writes also while the other is out
        of reach, as long as this page stays open, and catches up when it is back.
      </p>
      <BecomeDevice link={link} onJoined={onJoined} onLost={onLost} />
      <details class="other-way">
        <summary>Or pair a machine where Tidelog is installed</summary>
        <p>The link works once. Nothing is used up yet. On that machine, run this:</p>
        <pre class="wrap" tabindex={0}>
          <code>{command}</code>
        </pre>
        <button type="button" onClick={() => void copy()}>
          Copy it
        </button>
        <span role="status" class="beside">
          {copied === 'yes' && 'Copied.'}
          {copied === 'no' && 'This browser doesn’t let the page copy: select the text by hand.'}
        </span>
      </details>
      {isInside && (
        <p>
          <button type="button" class="link" onClick={onLeave}>
            Do nothing, and go to the page
          </button>
        </p>
      )}
    </Outside>
  );
}

/** Nothing of it is shown: who made it may have written it to be copied. */
export function DamagedLink({ onLeave }: { onLeave: () => void }): JSX.Element {
  return (
    <Outside>
      <Problem>This pairing link is damaged. Copy it anew and whole, or have a new one made under Pair.</Problem>
      <button type="button" onClick={onLeave}>
        Go to the page
      </button>
    </Outside>
  );
}
