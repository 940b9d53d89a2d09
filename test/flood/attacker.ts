/** One attack, in a process of its own. What it is to do comes over the channel of fork(), so that no secret stands among its arguments. */
import { crypto } from '../../conformance/device.ts';
import { formatDeviceId } from '../../protocol/device-id.ts';
import { ATTACKS } from './attacks.ts';
import { Tally, type TallyReport } from './tally.ts';

const PATIENCE_MS = 30_000;

export interface Order {
  readonly attack: string;
  readonly host: string;
  readonly port: number;
  readonly addresses: readonly string[];
  readonly space: Uint8Array;
  readonly seed: Uint8Array;
  readonly invite: Uint8Array;
  readonly ms: number;
}

process.once('message', (order: Order) => {
  const { attack, host, port, addresses, space, seed, invite, ms } = order;
  const tally = new Tally();
  const endMs = performance.now() + ms;
  const keys = crypto.ed25519KeyPair(seed);
  const device = { keys, id: formatDeviceId(keys.public), name: 'mallory' };
  const report = (): void => {
    const sent: TallyReport = tally.report();
    process.send!(sent, () => process.exit());
  };
  const { expects, run: attackOn } = ATTACKS[attack]!;
  // On a machine that is busy it may take longer until the node has had enough.
  const isOver = (): boolean => {
    const overMs = performance.now() - endMs;
    return overMs > PATIENCE_MS || (overMs > 0 && (expects.length === 0 || expects.some((each) => tally.has(each))));
  };
  // What still hangs on an answer of the node is not waited for.
  const late = setTimeout(report, ms + PATIENCE_MS + 2000);
  const scene = { url: `ws://${host}:${port}/sync`, host, port, addresses, space, device, invite, tally };
  const run = async (): Promise<void> => {
    await attackOn({ ...scene, isOver });
    clearTimeout(late);
    report();
  };
  void run();
});
process.on('disconnect', () => process.exit());
