/** A HELLO as a peer of this version says it, with the largest limits. */
import { BATCH_RAW_BYTES_MAX, MESSAGE_BYTES_MAX } from '../../protocol/constants.ts';
import type { Hello, SpaceState } from '../../protocol/messages.ts';

export function helloOf(name: string, agent: string, spaces: readonly SpaceState[]): Hello {
  return {
    type: 'HELLO',
    version: 1,
    name,
    agent,
    capabilities: ['zstd'],
    limits: { message: MESSAGE_BYTES_MAX, batch: BATCH_RAW_BYTES_MAX },
    spaces,
    time: Date.now() * 1000,
  };
}
