/** Ports that nobody listens on, for nodes that are stopped and started again at the same address. */
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';

/** Below the ports that systems give to outgoing connections (Linux from 32,768): such a one could take the port while its node is stopped. */
const FROM = 20_000;
const BEFORE = 32_768;

/** On loopback. A fixed one, and not 0: what a node got by 0 can't be listened on again for a minute after connections there have ended. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(FROM, BEFORE);
    const probe = createServer();
    try {
      await once(probe.listen({ host: '127.0.0.1', port, exclusive: true }), 'listening');
    } catch {
      continue;
    }
    probe.close();
    await once(probe, 'close');
    return port;
  }
}
