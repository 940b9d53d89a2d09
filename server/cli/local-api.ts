/** The HTTP interface without HTTP: the store is opened in this process, and its handler called. */
import { transportPair } from '../../client/platform/transport-pair.ts';
import type { Transport } from '../../client/transport.ts';
import { utf8 } from '../../protocol/bytes.ts';
import { addressesOf } from '../addresses.ts';
import type { ApiResponse } from '../http/message.ts';
import { createHandler, type Handle } from '../http/router.ts';
import { silentLog } from '../log.ts';
import { openPeer } from '../open-peer.ts';
import { Verifier } from '../verifier.ts';
import { apiOver, splitOnce, type Api, type Send } from './api.ts';

/** Throws `data-missing`, `data-in-use` and what opening a data folder throws. */
export async function openLocalApi(dataDir: string): Promise<Api> {
  const opened = await openPeer(dataDir);
  const { host, port } = opened.config.values;
  const handle = createHandler({
    peer: opened.peer,
    config: opened.config,
    verifier: new Verifier(opened.peer, opened.dataDir, { isBackground: false }),
    digitsOf: opened.digitsOf,
    log: silentLog(),
    // Where a node that is started later will be, if it is started with the settings as they are.
    addresses: () => addressesOf(host, port),
    metrics: null,
    health: null,
    sessions: null,
    ready: () => true,
  });
  const line = async (): Promise<Transport> => {
    const { a, b } = transportPair();
    opened.peer.accept(b);
    return a;
  };
  return apiOver(null, localSend(handle), line, () => opened.close());
}

function localSend(handle: Handle): Send {
  return async (method, target, headers, body, signal) => {
    const [path, query] = splitOnce(target, '?');
    const response = await handle({
      method,
      path,
      query: new URLSearchParams(query),
      headers: new Map(Object.entries(headers)),
      body,
      signal,
    });
    return toResponse(response);
  };
}

function toResponse({ status, headers, body }: ApiResponse): Response {
  if (typeof body === 'string') return new Response(body === '' ? null : body, { status, headers });
  const iterator = body[Symbol.asyncIterator]();
  const stream = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await iterator.next();
      if (done) controller.close();
      else controller.enqueue(typeof value === 'string' ? utf8(value) : value);
    },
    async cancel() {
      await iterator.return?.();
    },
  });
  return new Response(stream, { status, headers });
}
