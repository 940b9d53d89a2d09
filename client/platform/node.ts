/** The world as Node has it. */
import type { Platform } from '../platform.ts';
import { ThreadReader } from './batch-reader.ts';
import { nodeCrypto } from './crypto-node.ts';
import { randomBytes } from './random.ts';
import { dialWebSocket } from './websocket.ts';
import { zstdNode } from './zstd-node.ts';

/** One for the process: its peers share the second core. */
const threadReader = new ThreadReader();

export function nodePlatform(): Platform {
  return {
    crypto: nodeCrypto,
    random: randomBytes,
    codecs: [zstdNode],
    reader: threadReader,
    // Not performance.timeOrigin, which would keep the hour that a machine without a clock of its own had when it booted.
    nowUs: () => Date.now() * 1000,
    nowMs: () => performance.now(),
    after: (ms, call) => {
      const timer = setTimeout(call, ms);
      timer.unref();
      return () => clearTimeout(timer);
    },
    turn: () => new Promise((resolve) => setImmediate(resolve)),
    dial: dialWebSocket,
  };
}
