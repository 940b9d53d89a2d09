/** `tidelog export --log FILE|-` and `tidelog import --log FILE|-`: the log itself, signatures and all, for carrying it to another device. */
import { createReadStream } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

import { LogFileWriter, readLogFile, type LogFileHeader } from '../../client/log-file.ts';
import { nodeCrypto } from '../../client/platform/crypto-node.ts';
import { concat, toHex } from '../../protocol/bytes.ts';
import { asTidelogError, TidelogError } from '../../protocol/errors.ts';
import { syncFolder, writtenInto } from '../durable.ts';
import type { TakenJson } from '../http/log.ts';
import { counted, formatBytes } from '../terminal.ts';
import type { Cli } from './command.ts';
import { statInput } from './input-file.ts';
import { Progress } from './progress.ts';

/** Of what is sent at once: well below what a request may hold. */
const PIECE_BYTES = 6 * 1024 * 1024;

/** Into a file that is there whole or not at all; replaces one that was there. */
export async function exportLog(cli: Cli, path: string): Promise<void> {
  const source = cli.api.bytes(cli.path(['v1', 'log']));
  if (path === '-') {
    if (process.stdout.isTTY)
      throw new TidelogError(
        'bad-argument',
        'a log is bytes and no text; name a file, or send it into another program',
      );
    for await (const chunk of source) {
      if (!process.stdout.write(chunk)) await new Promise((taken) => process.stdout.once('drain', taken));
    }
    return;
  }
  const draft = `${path}.part`;
  const file = await open(draft, 'w', 0o600).catch((thrown: NodeJS.ErrnoException) => {
    const why = thrown.code === 'ENOENT' ? `there is no folder ${dirname(path)}` : thrown.message;
    throw new TidelogError('bad-argument', `${path}: ${why}`);
  });
  const progress = new Progress();
  let bytes = 0;
  let head = 0;
  let space = '';
  try {
    // Read on the way: an answer that breaks off must not become a file.
    for await (const part of readLogFile(nodeCrypto, writtenInto(file, source))) {
      if (part.kind === 'header') space = toHex(part.space);
      if (part.kind === 'block') progress.show('exported', (head = part.last), 0);
      if (part.kind === 'end') head = part.head;
    }
    await file.sync();
    bytes = (await file.stat()).size;
    await file.close();
    await rename(draft, path);
    await syncFolder(dirname(path));
  } catch (thrown) {
    await file.close().catch(() => {});
    await rm(draft, { force: true });
    throw thrown;
  } finally {
    progress.end();
  }
  await cli.show(
    { file: path, space, commits: head, bytes },
    () => `${path}: ${counted(head, 'commit')}, ${formatBytes(bytes)}`,
  );
}

/** Takes what is new of it, and says what was new. Where it is bad, what stands before that is taken. */
export async function importLog(cli: Cli, path: string): Promise<void> {
  const taking = new Taking(cli, path === '-' ? 0 : (await statInput(path)).size);
  try {
    await taking.run(path === '-' ? process.stdin : createReadStream(path, { highWaterMark: 256 * 1024 }));
  } finally {
    taking.progress.end();
  }
  const { added, known, space } = taking;
  const result = { space, added, known };
  await cli.show(result, () =>
    added === 0
      ? `nothing new: all of ${counted(known, 'commit')} known already`
      : `${counted(added, 'new commit')}; ${known.toLocaleString('en')} known already`,
  );
}

class Taking {
  readonly progress = new Progress();
  readonly #cli: Cli;
  readonly #bytes: number;
  #header: LogFileHeader | null = null;
  #writer = new LogFileWriter(nodeCrypto);
  /** What is sent next: header and blocks. */
  #piece: Uint8Array[] = [];
  #pieceBytes = 0;
  space = '';
  added = 0;
  known = 0;

  constructor(cli: Cli, bytes: number) {
    this.#cli = cli;
    this.#bytes = bytes;
  }

  async run(input: AsyncIterable<unknown>): Promise<void> {
    try {
      for await (const part of readLogFile(nodeCrypto, input as AsyncIterable<Uint8Array>)) {
        if (part.kind === 'header') {
          this.#header = part;
          this.space = toHex(part.space);
          this.#begin(part.after);
        }
        if (part.kind !== 'block' && part.kind !== 'fork') continue;
        const bytes = part.kind === 'fork' ? this.#writer.fork(part.proof) : this.#writer.block(part);
        this.#piece.push(bytes);
        this.#pieceBytes += bytes.length;
        if (this.#pieceBytes < PIECE_BYTES || part.kind === 'fork') continue;
        await this.#send();
        this.#begin(part.last);
        this.progress.show('imported', part.offset, this.#bytes);
      }
    } catch (thrown) {
      if (!(thrown instanceof TidelogError && thrown.code === 'bad-copy')) throw this.#placed(thrown);
      // What was read before it is good.
      await this.#send();
      throw this.#placed(thrown);
    }
    await this.#send();
  }

  /** Each piece is a file of its own to the node. */
  #begin(after: number): void {
    this.#writer = new LogFileWriter(nodeCrypto);
    this.#piece = [this.#writer.header({ ...this.#header!, after })];
    this.#pieceBytes = 0;
  }

  async #send(): Promise<void> {
    if (this.#piece.length < 2) return;
    const piece = concat(...this.#piece);
    this.#piece = [];
    try {
      const { body } = await this.#cli.api.call('POST', this.#cli.path(['v1', 'log']), piece);
      this.#count(body as TakenJson);
    } catch (thrown) {
      const { detail } = asTidelogError(thrown);
      if (typeof detail['added'] === 'number') this.#count(detail as unknown as TakenJson);
      throw this.#placed(thrown);
    }
  }

  #count({ added, known }: TakenJson): void {
    this.added += added;
    this.known += known;
  }

  /** With what was taken before it. */
  #placed(thrown: unknown): TidelogError {
    const { code, message, detail, cause } = asTidelogError(thrown);
    if ('space' in detail && detail['taken'] !== undefined) return thrown as TidelogError;
    const particular = / \((.*)\)$/s.exec(message)?.[1] ?? message;
    const { space, added, known } = this;
    const next = `${added} new commits before it were taken, and nothing after it`;
    return new TidelogError(code, `${particular}; ${next}`, { ...detail, space, added, known, taken: true }, { cause });
  }
}
