/** The world as Node has it. */
import type { Platform } from '../platform.ts';
import { nodeCrypto } from './crypto-node.ts';
import { randomBytes } from './random.ts';
import { dialWebSocket } from './websocket.ts';
import { zstdNode } from './zstd-node.ts';

export function nodePlatform(): Platform {
  return {
    crypto: nodeCrypto,
    random: randomBytes,
    codecs: [zstdNode],
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
