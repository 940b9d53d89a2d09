/**
 * Many light followers in one process (see light.ts).
 *
 *   fork('bench/programs/crowd.ts')
 */
import { nodeCrypto } from '../../client/platform/crypto-node.ts';
import type { StartsFrom } from '../../protocol/messages.ts';
import { answerCalls, sharedNowMs } from '../calls.ts';
import { LightPeer } from '../light.ts';
import { eachAtOnce } from '../node.ts';

/** Below the node's limit of connections of one address that are still shaking hands. */
const HANDSHAKES_AT_ONCE = 16;

const peers: LightPeer[] = [];

answerCalls(
  {
    /** Connects a device for each seed; answers when all have caught up. ms. */
    async follow({
      url,
      space,
      seeds,
      from,
    }: {
      url: string;
      space: Uint8Array;
      seeds: readonly Uint8Array[];
      from: StartsFrom;
    }): Promise<number> {
      const started = performance.now();
      const joined: LightPeer[] = [];
      await eachAtOnce(seeds, HANDSHAKES_AT_ONCE, async (seed) => {
        const peer = await LightPeer.follow(url, nodeCrypto.ed25519KeyPair(seed), space, from);
        joined.push(peer);
        // Where nothing is to come this is the end of the handshake; else the transfers are to go on side by side.
        await (from.kind === 'cursor' ? peer.caughtUp() : peer.greeted());
      });
      peers.push(...joined);
      await Promise.all(joined.map((peer) => peer.caughtUp()));
      return performance.now() - started;
    },
    /** When all of them had the log up to here, by the machine's shared clock, ms. */
    async reached(last: number): Promise<number> {
      await Promise.all(peers.map((peer) => peer.reached(last)));
      return sharedNowMs();
    },
    leave(): void {
      for (const peer of peers.splice(0)) peer.close();
    },
  },
  async () => {
    for (const peer of peers) peer.close();
  },
);
