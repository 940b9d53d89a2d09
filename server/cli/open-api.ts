/**
 * How commands reach the data: over HTTP where a node runs on it, otherwise by opening the store in this process. Both ends lead to the
 * same handler, so a command behaves the same either way.
 */
import { setTimeout as sleep } from 'node:timers/promises';

import { dialWebSocket } from '../../client/platform/websocket.ts';
import { TidelogError } from '../../protocol/errors.ts';
import { syncUrl } from '../../protocol/pair-link.ts';
import { findRunningNode, readToken } from '../data-dir.ts';
import { apiOver, causeOf, type Api, type Send } from './api.ts';

/** Another command holds the data folder for a moment only; a node holds it for long, and is talked to. */
const PATIENCE_MS = 5000;
const RETRY_MS = 50;

/** Throws `data-missing`, `data-in-use` and what opening a data folder throws. */
export async function openApi(dataDir: string): Promise<Api> {
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    try {
      const node = await findRunningNode(dataDir);
      if (node?.url) return remoteApi(node.url, await readToken(dataDir));
      // Loaded where it is wanted: it is all of a peer and its store, and takes longer than most commands.
      const { openLocalApi } = await import('./local-api.ts');
      return await openLocalApi(dataDir);
    } catch (thrown) {
      const inUse = thrown instanceof TidelogError && thrown.code === 'data-in-use';
      if (!inUse || performance.now() > deadline) throw thrown;
      await sleep(RETRY_MS);
    }
  }
}

function remoteApi(url: string, token: string): Api {
  const send: Send = async (method, path, headers, body, signal) => {
    try {
      return await fetch(url + path, {
        method,
        headers: { ...headers, authorization: `Bearer ${token}` },
        signal,
        ...(body.length > 0 && { body }),
      });
    } catch (thrown) {
      if (signal.aborted) throw new TidelogError('aborted');
      throw new TidelogError('unreachable', `the node at ${url}: ${causeOf(thrown)}`, {}, { cause: thrown });
    }
  };
  return apiOver(
    url,
    send,
    () => dialWebSocket(syncUrl(url)),
    async () => {},
  );
}
