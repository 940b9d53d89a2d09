/**
 * A node: a peer that listens. Puts the parts together, and takes them apart in an order in which nothing that was acknowledged is lost.
 *
 *   const node = await startNode({ dataDir, log, port: 0 });
 *   …
 *   await node.stop();
 */
import type { Logger } from 'pino';

import type { Peer } from '../client/peer.ts';
import { nodePlatform } from '../client/platform/node.ts';
import { addressesOf, urlOf } from './addresses.ts';
import { checkSettings } from './config.ts';
import { startHttpServer, type HttpServer } from './http-server.ts';
import { Health } from './health.ts';
import { createHandler } from './http/router.ts';
import { logEvent } from './log.ts';
import { createMetrics } from './metrics.ts';
import { openPeer } from './open-peer.ts';
import { Sessions } from './sessions.ts';
import { Verifier } from './verifier.ts';
import { VerifySchedule } from './verify-schedule.ts';

export interface NodeOptions {
  readonly dataDir: string;
  readonly log: Logger;
  /** These three go before the settings in the data folder. `connect` is added to them. */
  readonly port?: number;
  readonly host?: string;
  readonly connect?: readonly string[];
}

export interface StartedNode {
  readonly peer: Peer;
  /** Where this machine's own programs reach it. */
  readonly url: string;
  readonly port: number;
  /** Where other devices reach it, as far as it knows. */
  addresses(): string[];
  /** Takes nothing new, ends what is under way, closes connections and the store. */
  stop(): Promise<void>;
}

/** How long requests under way may take to end when the node stops. */
const STOP_PATIENCE_MS = 5000;

/** Throws `bad-config`, `port-in-use`, `data-missing`, `data-in-use` and what else opening a data folder throws. */
export async function startNode(options: NodeOptions): Promise<StartedNode> {
  const { dataDir, log, connect = [] } = options;
  checkSettings({ connect, ...(options.host !== undefined && { host: options.host }) });
  let port = 0;
  let host = '';
  const addresses = (): string[] => addressesOf(host, port);
  let health: Health | null = null;
  const opened = await openPeer(dataDir, (event) => {
    logEvent(log, event);
    health?.take(event);
  });
  const { peer, config, digitsOf } = opened;
  const { values } = config;
  host = options.host ?? values.host;
  let stopping = false;
  let server: HttpServer | null = null;
  health = new Health(peer, opened.dataDir);
  const verifier = new Verifier(peer, opened.dataDir, { isBackground: true });
  try {
    const metrics = createMetrics(peer, verifier);
    const { crypto, random } = nodePlatform();
    const sessions = new Sessions({ crypto, random, nowMs: Date.now, device: peer.id });
    const ready = (): boolean => !stopping;
    server = await startHttpServer({
      host,
      port: options.port ?? values.port,
      token: opened.token,
      sessions,
      // Commands of this machine go where it listens, which may be a name.
      hostNames: () => [host, ...config.values.hostNames],
      connectionsMax: values.connectionsMax,
      connectionsPerAddressMax: values.connectionsPerAddressMax,
      handle: createHandler({
        peer,
        config,
        verifier,
        log,
        addresses,
        digitsOf,
        ready,
        metrics: () => metrics.text(),
        health,
        sessions,
      }),
      accept: (transport) => peer.accept(transport),
      log,
    });
    port = server.port;
    peer.dialKnown();
    for (const address of new Set([...values.connect, ...connect])) peer.dial(address);
  } catch (thrown) {
    health.stop();
    server?.close();
    await opened.close();
    throw thrown;
  }

  const schedule = new VerifySchedule(opened.dataDir, config, verifier, log);
  const url = urlOf(host, port);
  opened.announce(url);
  log.info({ url, device: peer.id, name: peer.name, data: dataDir }, 'started');

  let stopped: Promise<void> | null = null;
  const stop = async (): Promise<void> => {
    stopping = true;
    log.info('stopping');
    server.stopAccepting();
    health.stop();
    await Promise.all([schedule.stop(), verifier.stop()]);
    await server.idle(STOP_PATIENCE_MS);
    // Connections end with `shutting-down`, what they brought is stored, the store closes; then nothing is left to cut but idle sockets.
    try {
      await opened.close();
    } finally {
      server.close();
    }
    log.info('stopped');
  };
  return { peer, url, port, addresses, stop: () => (stopped ??= stop()) };
}
