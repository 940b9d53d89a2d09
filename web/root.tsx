/** Who is here: somebody with a session on the node, this browser's own device, or nobody yet, and then what to do to get in. */
import type { JSX } from 'preact';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';

import type { Arrival } from './arrival.ts';
import { messageOf } from './hooks.ts';
import { HttpSource } from './http-source.ts';
import { ownDevice, rememberOwnDevice } from './own-device.ts';
import type { LostNotice, PeerSource } from './peer-source.ts';
import { SessionKey } from './session.ts';
import { Shell } from './shell.tsx';
import { LostDevice, OwnDevice } from './views/own-device.tsx';
import { DamagedLink, PairLanding } from './views/pair-landing.tsx';
import { Welcome } from './views/welcome.tsx';

type State =
  | { readonly at: 'beginning' }
  | { readonly at: 'outside'; readonly why: string | null }
  | { readonly at: 'node' }
  | { readonly at: 'opening'; readonly name: string }
  | { readonly at: 'peer'; readonly peer: PeerSource }
  | { readonly at: 'lost'; readonly why: string };

const NO_DEVICE = 'This browser is no device any more.';

export function Root({ arrival }: { arrival: Arrival | null }): JSX.Element {
  const key = useMemo(() => new SessionKey(), []);
  // A session counts more: who has one sees the node, also in a browser that is a device itself.
  const begin = (why: string | null): State => {
    if (key.isKnown) return { at: 'node' };
    const name = ownDevice();
    return name === null ? { at: 'outside', why } : { at: 'opening', name };
  };
  const [state, setState] = useState<State>(() => (arrival?.by === 'session' ? { at: 'beginning' } : begin(null)));
  const [pairing, setPairing] = useState(arrival?.by === 'session' ? null : arrival);
  const first = useRef(arrival);
  const current = useRef(state);
  current.current = state;
  const isPairing = useRef(false);
  isPairing.current = pairing !== null;
  const node = useMemo(
    () =>
      new HttpSource(key, (why = 'Your session has ended. That happens when the node restarts, too.') => {
        key.forget();
        setState(begin(why));
      }),
    [],
  );

  useEffect(() => {
    let isNewest = true;
    if (arrival?.by === 'session')
      key.begin(arrival.secret).then(
        () => {
          // One device is open once in a tab; it is opened again when the session is over.
          if (current.current.at === 'peer') void current.current.peer.close();
          // A link that was pasted since then is what the person wants now.
          if (isNewest) setPairing(null);
          setState({ at: 'node' });
        },
        // A link that was used already does no harm where somebody is in.
        (thrown: unknown) =>
          setState((old) => (old.at === 'beginning' || old.at === 'outside' ? begin(messageOf(thrown)) : old)),
      );
    else if (arrival !== null && arrival !== first.current) void pairAnew(arrival);
    return () => void (isNewest = false);
  }, [arrival]);

  // By a link that was pasted into this tab: as if the page had been loaded by it.
  const pairAnew = async (landed: Exclude<Arrival, { by: 'session' }>): Promise<void> => {
    if (current.current.at === 'peer') {
      const { peer } = current.current;
      await peer.close();
      setState(begin(null));
    }
    setPairing(landed);
  };

  const enter = (peer: PeerSource): void => {
    peer.onLeft = () => {
      rememberOwnDevice(null);
      setState({ at: 'outside', why: NO_DEVICE });
    };
    setPairing(null);
    setState({ at: 'peer', peer });
  };
  // What was being opened when a session began, or a link was pasted, is not wanted any more.
  const opened = (peer: PeerSource): void => {
    if (current.current.at === 'opening' && !isPairing.current) enter(peer);
    else void peer.close();
  };
  const lose = ({ isForgotten, why }: LostNotice): void => {
    setPairing(null);
    if (isForgotten) rememberOwnDevice(null);
    setState(isForgotten ? { at: 'outside', why: NO_DEVICE } : { at: 'lost', why });
  };

  if (pairing?.by === 'damaged') return <DamagedLink onLeave={() => setPairing(null)} />;
  if (pairing !== null)
    return (
      <PairLanding
        key={pairing.link}
        link={pairing.link}
        isInside={state.at === 'node' || state.at === 'opening'}
        onLeave={() => setPairing(null)}
        onJoined={enter}
        onLost={lose}
      />
    );
  switch (state.at) {
    case 'node':
      return <Shell source={node} />;
    case 'peer':
      return <Shell source={state.peer} />;
    case 'opening':
      return <OwnDevice name={state.name} onOpened={opened} onLost={lose} />;
    case 'lost':
      return <LostDevice why={state.why} />;
    case 'beginning':
      return <Welcome why={null} isBeginning onJoined={enter} onLost={lose} />;
    case 'outside':
      return <Welcome why={state.why} isBeginning={false} onJoined={enter} onLost={lose} />;
  }
}
