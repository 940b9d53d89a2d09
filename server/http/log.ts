/** The log as it is: `/v1/log`, bytes of a log file (client/log-file.ts), out and in. And what a backup has beside its logs. */
import { readLogFile, type LogFileHeader, type PlacedPart } from '../../client/log-file.ts';
import { nodeCrypto } from '../../client/platform/crypto-node.ts';
import type { CopiedTo } from '../../client/replica/copy-log.ts';
import type { Space } from '../../client/space.ts';
import { fromHex, toHex } from '../../protocol/bytes.ts';
import { COMMIT_ID_BYTES } from '../../protocol/constants.ts';
import { asTidelogError, TidelogError } from '../../protocol/errors.ts';
import type { ApiContext } from './context.ts';
import { withCopy } from './copies.ts';
import { json, type ApiRequest, type ApiResponse } from './message.ts';
import type { Routes } from './routes.ts';

/** What a backup notes of a node, beside its logs. */
export interface BackupSubject {
  readonly device: { readonly id: string; readonly name: string };
  /** The default one first. */
  readonly spaces: readonly {
    readonly id: string;
    readonly name: string;
    readonly epoch: string;
    readonly head: number;
  }[];
  /** Others that were met, and where they are reached. */
  readonly devices: readonly { readonly id: string; readonly name: string; readonly addresses: readonly string[] }[];
}

/** What a piece of a log file did. */
export interface TakenJson {
  readonly space: string;
  /** Entries that were new here, and those that were here. */
  readonly added: number;
  readonly known: number;
  /** In the log that the file was made of: all up to it is on disk. */
  readonly position: number;
}

export const logRoutes: Routes = {
  'GET /v1/backup': ({ peer }) => {
    const home = peer.spaces.length > 0 ? [peer.space()] : [];
    const subject: BackupSubject = {
      device: { id: peer.id, name: peer.name },
      spaces: [...new Set([...home, ...peer.spaces])].map(({ hex: id, name, epoch, head }) => {
        return { id, name, epoch: toHex(epoch), head };
      }),
      devices: peer.knownDevices(),
    };
    return json(subject);
  },

  /** `after`: a cursor, and the id of the entry there; then what came since. */
  'GET /v1/log': async ({ peer }, request) => {
    const space = peer.space(request.query.get('space') ?? undefined);
    const file = space.exportLog(readCopiedTo(space, request));
    // The first bytes come only where the log can be copied: a refusal is still a problem, and not an answer that breaks off.
    const first = await file.next();
    return { status: 200, headers: { 'content-type': 'application/octet-stream' }, body: withFirst(first, file) };
  },

  /** A log file or a piece of one: header and blocks. A refusal says in its `data` what was taken before it. */
  'POST /v1/log': takeLog,
};

function readCopiedTo(space: Space, { query }: ApiRequest): CopiedTo | null {
  const cursor = query.get('after');
  if (cursor === null) return null;
  const id = fromHex(query.get('id') ?? '');
  if (id?.length !== COMMIT_ID_BYTES)
    throw new TidelogError('bad-argument', 'id is that of the entry at the cursor, hex');
  const position = space.positionOf(cursor);
  return position === 0 ? null : { position, id };
}

async function* withFirst(
  first: IteratorResult<Uint8Array>,
  rest: AsyncGenerator<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  if (!first.done) yield first.value;
  yield* rest;
}

async function takeLog({ peer }: ApiContext, request: ApiRequest): Promise<ApiResponse> {
  const parts = readLogFile(nodeCrypto, once(request.body), { isPiece: true });
  const header = (await parts.next()).value as LogFileHeader;
  const named = request.query.get('space');
  if (named !== null && peer.space(named).hex !== toHex(header.space))
    throw new TidelogError('wrong-space', `the log is of space ${toHex(header.space).slice(0, 8)}`);
  return withCopy(peer, header.space, (space) => takeParts(space, parts));
}

async function takeParts(space: Space, parts: AsyncIterable<PlacedPart>): Promise<ApiResponse> {
  const intake = space.intake();
  const taken = (): TakenJson => {
    const { added, duplicates: known, position } = intake;
    return { space: space.hex, added, known, position };
  };
  try {
    for await (const part of parts) {
      if (part.kind === 'fork') await space.takeFork(part.proof);
      if (part.kind === 'block') await intake.take(part);
    }
    await intake.settled();
    return json(taken());
  } catch (thrown) {
    // What came before is good, and on its way to the disk.
    await intake.settled().catch(() => {});
    const error = asTidelogError(thrown);
    const particular = / \((.*)\)$/s.exec(error.message)?.[1] ?? '';
    const { refused } = intake;
    const where = refused ? `in the block of positions ${refused.first} to ${refused.last}: ` : '';
    throw new TidelogError(
      error.code,
      where + particular,
      { ...error.detail, ...taken() },
      { cause: error.cause ?? error },
    );
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
