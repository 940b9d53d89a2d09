/** Much at once: `/v1/import` and `/v1/export`, newline-delimited JSON both. The format is `server/import.ts`'s. */
import { importLines } from '../import.ts';
import { spaceToRead, spaceToWrite } from './context.ts';
import { json, ndjson, readText } from './message.ts';
import { problemResponse } from './problem.ts';
import type { Routes } from './routes.ts';

export const transferRoutes: Routes = {
  /** `{lines, commits}` are on disk. A refusal says the same in its `data`: they stay, and what follows them was not written. */
  'POST /v1/import': async (context, request) => {
    const text = readText(request);
    const { lines, commits, error } = await importLines(await spaceToWrite(context, request), text);
    return error ? problemResponse(error) : json({ lines, commits });
  },

  'GET /v1/export': (context, request) => {
    const space = spaceToRead(context, request);
    return ndjson(space ? lines(space.export(request.query.get('prefix') ?? '')) : nothing());
  },
};

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
