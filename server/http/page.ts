/**
 * The page: files that `npm run build:web` made in `web/dist`, from memory. Their names hold a hash of what is in them, so a browser keeps them for
 * good and asks for `/` alone.
 */
import { readdir, readFile, stat } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { toHex } from '../../protocol/bytes.ts';
import { nodeCrypto } from '../../client/platform/crypto-node.ts';
import { TidelogError } from '../../protocol/errors.ts';
import type { ApiRequest, ApiResponse } from './message.ts';
import { problemResponse } from './problem.ts';
import type { Routes } from './routes.ts';

/** Beside `server/`, in a clone and in the package. */
const FOLDER = fileURLToPath(new URL('../../web/dist/', import.meta.url));
const INDEX = 'index.html';

/** Nothing from elsewhere, and nothing inline: what is written into the data can't become a program of the page. */
const PAGE_HEADERS = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; manifest-src 'self'; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
  'permissions-policy': 'camera=(), microphone=(), geolocation=()',
} as const;

/** Of the document. A browser takes it only where nobody on the way can have written it, and elsewhere complains of it at each load. */
const OPENER_POLICY = { 'cross-origin-opener-policy': 'same-origin' } as const;
const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])(:\d+)?$/i;

/** By https, from this machine, or otherwise: a browser says so by sending what it tells to such origins alone, also where TLS ends before the node. */
function isTrustworthy({ headers }: ApiRequest): boolean {
  return headers.has('sec-fetch-dest') || LOOPBACK.test(headers.get('host') ?? '');
}

const TYPES: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/manifest+json',
  '.svg': 'image/svg+xml',
};

interface PageFile {
  readonly body: string;
  readonly type: string;
  readonly etag: string;
}

type PageFiles = ReadonlyMap<string, PageFile>;

let loaded: { readonly builtMs: number; readonly files: Promise<PageFiles> } | null = null;

export const pageRoutes: Routes = {
  'GET /': async (_context, request) => {
    if (!(request.headers.get('accept') ?? '').includes('text/html'))
      return text(
        'This is a Tidelog node. To pair with it, give the whole link to `tidelog pair join` on another machine.\n',
      );
    const page = (await readFiles())?.get(INDEX);
    const { headers, ...rest } = page ? fileResponse(request, page, 'no-cache') : notBuilt();
    return { ...rest, headers: { ...headers, ...(isTrustworthy(request) && OPENER_POLICY), vary: 'sec-fetch-dest' } };
  },

  'GET /web/*': async (_context, request, name) => {
    const file = (await readFiles())?.get(name!);
    if (!file) return problemResponse(new TidelogError('not-found', `no such file of the page: ${name!}`));
    return fileResponse(request, file, 'public, max-age=31536000, immutable');
  },
};

/** null where the page isn't built. Read again when it was built anew. */
async function readFiles(): Promise<PageFiles | null> {
  const built = await stat(join(FOLDER, INDEX)).catch(() => null);
  if (built === null) return null;
  if (loaded?.builtMs !== built.mtimeMs) loaded = { builtMs: built.mtimeMs, files: loadFiles() };
  return loaded.files;
}

async function loadFiles(): Promise<PageFiles> {
  const files = new Map<string, PageFile>();
  for (const name of await readdir(FOLDER)) {
    const type = TYPES[extname(name)];
    if (type === undefined) continue;
    const body = await readFile(join(FOLDER, name), 'utf8');
    files.set(name, { body, type, etag: `"${toHex(nodeCrypto.sha256(Buffer.from(body)).subarray(0, 12))}"` });
  }
  return files;
}

function fileResponse(request: ApiRequest, { body, type, etag }: PageFile, caching: string): ApiResponse {
  const headers = { ...PAGE_HEADERS, 'content-type': type, 'cache-control': caching, etag };
  if (request.headers.get('if-none-match') === etag) return { status: 304, headers, body: '' };
  return { status: 200, headers, body };
}

function notBuilt(): ApiResponse {
  const body =
    '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">' +
    '<title>Tidelog</title><h1>The page isn’t built</h1><p>This node runs from a clone whose page was never built. ' +
    'In its folder, run <code>npm run build:web</code>, then load this page again.</p>';
  return { status: 200, headers: { ...PAGE_HEADERS, 'content-type': TYPES['.html']! }, body };
}

function text(body: string): ApiResponse {
  return { status: 200, headers: { 'content-type': 'text/plain; charset=utf-8' }, body };
}
