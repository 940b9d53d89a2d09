/** The world as any JavaScript engine with WebSocket has it, also on a page that is no secure context and has no WebCrypto. */
import type { Platform } from '../platform.ts';
import { portableCrypto } from './crypto-portable.ts';
import { randomBytes } from './random.ts';
import { dialWebSocket } from './websocket.ts';
import { zstdPortable } from './zstd-portable.ts';

/** As browsers have it; Node's own types leave `onmessage` out. */
type Ends = Record<'port1' | 'port2', { onmessage: () => void; postMessage(message: null): void; close(): void }>;

/** A message to ourselves: a timer waits for a second in a tab that nobody looks at. */
function turn(): Promise<void> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel() as unknown as Ends;
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}

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
    turn,
    dial: dialWebSocket,
  };
}
