/** Much at once: `/v1/import` and `/v1/export`, newline-delimited JSON both. The format is `server/import.ts`'s. */
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';

import { TidelogError } from '../../protocol/errors.ts';
import { importLines } from '../import.ts';
import { spaceToRead, spaceToWrite } from './context.ts';
import { json, ndjson, readText, REQUEST_BYTES_MAX, type ApiRequest } from './message.ts';
import { problemResponse } from './problem.ts';
import type { Routes } from './routes.ts';

export const transferRoutes: Routes = {
  /** `{lines, commits}` are on disk. A refusal says the same in its `data`: they stay, and what follows them was not written. */
  'POST /v1/import': async (context, request) => {
    const text = readText(await unpacked(request));
    const { lines, commits, error } = await importLines(await spaceToWrite(context, request), text);
    return error ? problemResponse(error) : json({ lines, commits });
  },

  'GET /v1/export': (context, request) => {
    const space = spaceToRead(context, request);
    return ndjson(space ? lines(space.export(request.query.get('prefix') ?? '')) : nothing());
  },
};

/** What begins with gzip's two bytes is unpacked, whatever its headers say. Throws `bad-request`, `body-too-large`. */
async function unpacked(request: ApiRequest): Promise<ApiRequest> {
  if (request.body[0] !== 0x1f || request.body[1] !== 0x8b) return request;
  try {
    return { ...request, body: await promisify(gunzip)(request.body, { maxOutputLength: REQUEST_BYTES_MAX }) };
  } catch (thrown) {
    const { code, message } = thrown as NodeJS.ErrnoException;
    if (code === 'ERR_BUFFER_TOO_LARGE')
      throw new TidelogError('body-too-large', `unpacked it has more than ${REQUEST_BYTES_MAX} bytes`);
    throw new TidelogError('bad-request', `its gzip cannot be unpacked: ${message}`);
  }
}

async function* nothing(): AsyncGenerator<string> {}

/** Several lines in one piece: a write of its own for each would cost more than the line. */
async function* lines(source: AsyncIterable<string>): AsyncGenerator<string> {
  let piece = '';
  for await (const line of source) {
    piece += `${line}\n`;
    if (piece.length < PIECE_CHARACTERS) continue;
    yield piece;
    piece = '';
  }
  if (piece !== '') yield piece;
}

const PIECE_CHARACTERS = 64 * 1024;
