/**
 * Serves examples/browser/ with the library beside them, as any static web server would.
 *
 *   npm run examples              http://127.0.0.1:8100/todo.html and /notes.html, for this machine
 *   npm run examples -- --lan     also for phones in the same network
 *   npm run examples -- --port 8200
 */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { networkInterfaces } from 'node:os';
import { basename, dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { buildBrowser } from './build-browser.ts';

const PORT = 8100;
const EXAMPLES = join(dirname(fileURLToPath(import.meta.url)), '..', 'examples', 'browser');
const TYPES: Readonly<Record<string, string>> = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript' };

/** `library`: the folder that tidelog.js is in. Port 0: any. */
export async function serveExamples(
  library: string,
  port: number,
  host = '127.0.0.1',
): Promise<{ port: number; close(): Promise<void> }> {
  const server = createServer(({ url }, response) => {
    // One folder, and nothing that lies beneath or above it.
    const name = basename(new URL(url ?? '/', 'http://localhost').pathname) || 'todo.html';
    const path = join(name.startsWith('tidelog.js') ? library : EXAMPLES, name);
    const type = TYPES[extname(name)];
    if (type === undefined || !existsSync(path)) {
      response.writeHead(404).end('not found');
      return;
    }
    readFile(path).then(
      (bytes) => response.writeHead(200, { 'content-type': type, 'cache-control': 'no-cache' }).end(bytes),
      () => response.writeHead(500).end(),
    );
  });
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, host, resolve));
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: { lan: { type: 'boolean' }, port: { type: 'string' } } });
  const library = join(EXAMPLES, '..', '..', 'dist', 'browser');
  buildBrowser(library);
  const { port } = await serveExamples(
    library,
    Number(values.port ?? PORT),
    values.lan ? '0.0.0.0' : '127.0.0.1',
  ).catch((error: NodeJS.ErrnoException) => {
    const next = error.code === 'EADDRINUSE' ? '; choose another port: npm run examples -- --port 8101' : '';
    console.error(`the examples cannot be served: ${error.message}${next}`);
    process.exit(1);
  });
  const addresses = Object.values(networkInterfaces()).flatMap((all) => all ?? []);
  const hosts = ['127.0.0.1'];
  if (values.lan)
    for (const { family, internal, address } of addresses) if (family === 'IPv4' && !internal) hosts.push(address);
  for (const host of hosts)
    process.stdout.write(`http://${host}:${port}/todo.html\nhttp://${host}:${port}/notes.html\n`);
}
