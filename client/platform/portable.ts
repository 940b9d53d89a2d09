/** The world as any JavaScript engine with WebSocket has it, also on a page that is no secure context and has no WebCrypto. */
import type { Platform } from '../platform.ts';
import { portableCrypto } from './crypto-portable.ts';
import { randomBytes } from './random.ts';
import { dialWebSocket } from './websocket.ts';
import { zstdPortable } from './zstd-portable.ts';

export function portablePlatform(): Platform {
  return {
    crypto: portableCrypto,
    random: randomBytes,
    codecs: [zstdPortable],
    nowUs: () => Date.now() * 1000,
    nowMs: () => performance.now(),
    after: (ms, call) => {
      const timer = setTimeout(call, ms);
      return () => clearTimeout(timer);
    },
    turn: () => new Promise((resolve) => setTimeout(resolve, 0)),
    dial: dialWebSocket,
  };
}
