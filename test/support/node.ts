/** A real node in this process: a folder of its own, LMDB, and a port that was free. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { initDevice } from '../../server/device.ts';
import { silentLog } from '../../server/log.ts';
import { startNode, type NodeOptions, type StartedNode } from '../../server/node.ts';

export interface TestNode extends StartedNode {
  readonly dataDir: string;
  readonly token: string;
  /** With the token; a body that isn't text goes as JSON. */
  request(
    method: string,
    path: string,
    options?: { body?: unknown; headers?: Record<string, string>; signal?: AbortSignal },
  ): Promise<Response>;
  /** Stops it and removes its folder. */
  dispose(): Promise<void>;
}

export async function temporaryFolder(): Promise<string> {
  return mkdtemp(join(tmpdir(), 'tidelog-test-'));
}

export async function startTestNode(options: Partial<NodeOptions> & { name?: string } = {}): Promise<TestNode> {
  const { name = 'node', dataDir = await temporaryFolder(), ...rest } = options;
  await initDevice(dataDir, name);
  const node = await startNode({ dataDir, port: 0, log: silentLog(), ...rest });
  const token = (await readFile(join(dataDir, 'token'), 'utf8')).trim();
  return Object.assign(node, {
    dataDir,
    token,
    request: (
      method: string,
      path: string,
      { body, headers = {}, signal }: { body?: unknown; headers?: Record<string, string>; signal?: AbortSignal } = {},
    ) =>
      fetch(node.url + path, {
        method,
        headers: { authorization: `Bearer ${token}`, ...headers },
        ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
        ...(signal && { signal }),
      }),
    async dispose() {
      await node.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  });
}
