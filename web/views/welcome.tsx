/** What somebody sees who isn't let in. */
import type { JSX } from 'preact';

import { Notice, Sentence } from '../parts.tsx';
import type { LostNotice, PeerSource } from '../peer-source.ts';
import { BecomeDevice, Outside } from './own-device.tsx';

export function Welcome({
  why,
  isBeginning,
  onJoined,
  onLost,
}: {
  why: string | null;
  isBeginning: boolean;
  onJoined: (peer: PeerSource) => void;
  onLost: (lost: LostNotice) => void;
}): JSX.Element {
  return (
    <Outside>
      {why !== null && (
        <div role="alert">
          <Notice kind="warn">
            <Sentence>{why}</Sentence>
          </Notice>
        </div>
      )}
      {isBeginning ? (
        <p role="status">Coming in…</p>
      ) : (
        <>
          <p>This is a Tidelog node. To see what is in it, run this on the machine where it runs:</p>
          <pre>
            <code>tidelog open</code>
          </pre>
          <p>It prints a link that works once, within five minutes. Open it in this browser.</p>
          <p class="hint">
            From a clone of the repository: <code>npx tidelog open</code>.
          </p>
          <details class="other-way">
            <summary>Or make this browser a device of its own</summary>
            <p>
              It asks the node to be let in, both show six digits, and a person there decides. Then it has a log of its
              own, and works also while the node is out of reach.
            </p>
            <BecomeDevice link={null} onJoined={onJoined} onLost={onLost} />
          </details>
        </>
      )}
    </Outside>
  );
}
