/**
 * `tidelog import FILE|-`: newline-delimited JSON, plain or gzip. With `--log`: log-file.ts.
 *
 * The input is sent in pieces of whole lines, one after the other, and the next is read meanwhile; an answer means that a piece is on disk. How far it
 * came is then noted in the
 * data folder, by the input's path, with a hash of the lines so far: so `--continue` can tell a file that was mended after those lines from
 * another one. It tries the line that stopped the import once more, and leaves it out if it still is what it was.
 */
import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { resolve } from 'node:path';
import { Readable, type Transform } from 'node:stream';
import { createGunzip } from 'node:zlib';
import type { Command } from 'commander';

import { TidelogError } from '../../protocol/errors.ts';
import { forgetProgress, lineHash, readProgress, writeProgress, type Progress } from '../import-progress.ts';
import { counted, paint } from '../terminal.ts';
import { withCli, type Cli } from './command.ts';
import { statInput } from './input-file.ts';

/** Of a piece, in bytes: many commits to share a flush, and little to repeat after a crash. */
const PIECE_BYTES = 4 * 1024 * 1024;
/** A line, in bytes: a commit of 1 MiB in JSON at its most wasteful. */
const LINE_BYTES_MAX = 8 * 1024 * 1024;
const NEWLINE = 0x0a;

export function importCommand(program: Command): void {
  program
    .command('import')
    .description('write newline-delimited JSON, plain or gzip')
    .argument('[file]', '- for standard input')
    .option('--log <file>', 'instead take what is new of a log that `tidelog export --log` wrote; - for standard input')
    .option('--continue', 'after an import that stopped: go on behind the lines that were stored')
    .action((file: string | undefined, options: { continue?: boolean; log?: string }, command: Command) =>
      withCli(command, async (cli) => {
        if (options.log !== undefined) {
          if (file !== undefined || options.continue)
            throw new TidelogError(
              'bad-argument',
              '--log stands alone: it names the file, and always goes on where it was',
            );
          const { importLog } = await import('./log-file.ts');
          return importLog(cli, options.log);
        }
        if (file === undefined) throw new TidelogError('bad-argument', 'name a file, or - for standard input');
        const key = file === '-' ? '-' : resolve(file);
        const before = options.continue ? await readProgress(cli.dataDir, key) : null;
        await new Import(cli, key, before, await inputSize(file)).run(openInput(file));
      }),
    );
}

interface PieceAnswer {
  readonly lines: number;
  readonly commits: number;
}

class Import {
  readonly #cli: Cli;
  readonly #key: string;
  /** Where an earlier import stopped. */
  readonly #before: Progress | null;
  readonly #meter: Meter;
  /** Of all lines up to where the data is stored. */
  readonly #hash = createHash('sha256');
  #lines = 0;
  #commits = 0;
  #leftOut = 0;
  /** What an earlier import stored is behind us. */
  #isPast = false;
  /** The piece on its way to the node. */
  #sending: Promise<void> = Promise.resolve();

  constructor(cli: Cli, key: string, before: Progress | null, bytes: number | null) {
    this.#cli = cli;
    this.#key = key;
    this.#before = before;
    this.#meter = new Meter(bytes);
  }

  async run(input: AsyncIterable<Buffer>): Promise<void> {
    let piece: Buffer[] = [];
    let bytes = 0;
    try {
      for await (const lines of readLines(countBytes(input, this.#meter))) {
        for (const line of lines) {
          if (this.#skips(line)) continue;
          if (!isUtf8(line)) {
            await this.#sendLast(piece);
            await this.#refuse(line, new TidelogError('bad-line', 'it is not UTF-8'));
          }
          piece.push(line);
          bytes += line.length + 1;
          if (bytes < PIECE_BYTES) continue;
          await this.#send(piece);
          piece = [];
          bytes = 0;
        }
      }
      if (this.#before && this.#lines < this.#before.lines) throw this.#notTheSame();
      await this.#sendLast(piece);
    } catch (thrown) {
      // What was read before the input itself broke is good input.
      if (thrown instanceof BrokenInput) await this.#sendLast(piece);
      throw thrown instanceof BrokenInput ? thrown.error : thrown;
    } finally {
      this.#meter.end();
    }
    await forgetProgress(this.#cli.dataDir, this.#key);
    const summary = { lines: this.#lines, commits: this.#commits, leftOut: this.#leftOut };
    await this.#cli.show(summary, () => {
      const leftOut = this.#leftOut > 0 ? `; ${this.#leftOut} left out` : '';
      const lines = this.#lines - (this.#before?.lines ?? 0) - this.#leftOut;
      return `imported ${counted(lines, 'line')} in ${counted(this.#commits, 'commit')}${leftOut}`;
    });
  }

  /** Lines that an earlier import stored, and the one that stopped it. */
  #skips(line: Buffer): boolean {
    const before = this.#before;
    if (before === null || this.#isPast) return false;
    if (this.#lines < before.lines) {
      this.#count(1, joined([line]));
      if (this.#lines === before.lines && this.#digest() !== before.sha256) throw this.#notTheSame();
      return true;
    }
    this.#isPast = true;
    if (before.stoppedBy === null || lineHash(line) !== before.stoppedBy) return false;
    this.#cli.warn(`line ${this.#lines + 1} is left out: it is still what stopped the import`);
    this.#count(1, joined([line]));
    this.#leftOut++;
    return true;
  }

  #notTheSame(): TidelogError {
    return new TidelogError(
      'bad-argument',
      `the first ${this.#before!.lines} lines are not those that were imported; without --continue, all of it is imported`,
    );
  }

  /** Once the piece before is on disk; this one is on its way then. */
  async #send(piece: readonly Buffer[]): Promise<void> {
    await this.#sending;
    this.#sending = this.#store(piece);
    // It is awaited before anything else is sent, and until then the input is read.
    this.#sending.catch(() => {});
  }

  async #sendLast(piece: readonly Buffer[]): Promise<void> {
    await this.#send(piece);
    await this.#sending;
  }

  async #store(piece: readonly Buffer[]): Promise<void> {
    if (piece.length === 0) return;
    const bytes = joined(piece);
    try {
      const text = bytes.toString();
      const { body } = await this.#cli.api.call('POST', this.#cli.path(['v1', 'import']), text);
      await this.#stored(piece.length, bytes, body as PieceAnswer);
    } catch (thrown) {
      const { lines, commits } = thrown instanceof TidelogError ? thrown.detail : {};
      if (!(thrown instanceof TidelogError) || typeof lines !== 'number') throw thrown;
      await this.#stored(lines, joined(piece.slice(0, lines)), { lines, commits: Number(commits) });
      await this.#refuse(thrown.code === 'bad-line' ? piece[lines]! : null, thrown);
    }
  }

  async #stored(lines: number, bytes: Buffer, answer: PieceAnswer): Promise<void> {
    this.#count(lines, bytes);
    this.#commits += answer.commits;
    await this.#note(null);
    this.#meter.show(this.#lines, this.#commits);
  }

  /** `line` is the one at fault; null where it isn't a line's fault. */
  async #refuse(line: Buffer | null, error: TidelogError): Promise<never> {
    await this.#note(line && lineHash(line));
    throw this.#placed(error);
  }

  async #note(stoppedBy: string | null): Promise<void> {
    await writeProgress(this.#cli.dataDir, { key: this.#key, lines: this.#lines, sha256: this.#digest(), stoppedBy });
  }

  /** The node counts lines from the piece's beginning, people from the input's. */
  #placed(error: TidelogError): TidelogError {
    const line = this.#lines + 1;
    const particular = / \((.*)\)$/s.exec(error.message)?.[1]?.replace(/^line \d+: /, '') ?? '';
    const detail = { ...error.detail, line, lines: this.#lines, commits: this.#commits };
    const next = `${this.#lines} lines are stored; mend it or leave it, then \`tidelog import --continue\``;
    return new TidelogError(error.code, `line ${line}: ${particular}; ${next}`, detail, { cause: error });
  }

  /** `bytes` are those of the lines, with their newlines. */
  #count(lines: number, bytes: Buffer): void {
    this.#lines += lines;
    this.#hash.update(bytes);
  }

  #digest(): string {
    return this.#hash.copy().digest('hex');
  }
}

/** Each with its newline. */
function joined(lines: readonly Buffer[]): Buffer {
  const bytes = Buffer.allocUnsafe(lines.reduce((sum, line) => sum + line.length + 1, 0));
  let at = 0;
  for (const line of lines) {
    at += line.copy(bytes, at);
    bytes[at++] = NEWLINE;
  }
  return bytes;
}

// ---- input

/** Thrown out of the reading of the input, so that it isn't taken for a refusal of the node. */
class BrokenInput extends Error {
  readonly error: TidelogError;

  constructor(error: TidelogError) {
    super(error.message);
    this.error = error;
  }
}

/** Size of a file, for the progress; null for what has no end yet. */
async function inputSize(file: string): Promise<number | null> {
  if (file === '-') return null;
  const found = await statInput(file);
  if (found.isDirectory())
    throw new TidelogError('bad-argument', `${file} is a folder; import takes a file of newline-delimited JSON`);
  return found.size;
}

function openInput(file: string): AsyncIterable<Buffer> {
  return (
    file === '-' ? process.stdin : createReadStream(file, { highWaterMark: 256 * 1024 })
  ) as AsyncIterable<Buffer>;
}

/** Unpacks what begins with gzip's two bytes, whatever the file is called. */
async function* unpacked(input: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const iterator = input[Symbol.asyncIterator]();
  let head = Buffer.alloc(0);
  let done = false;
  while (head.length < 2 && !done) {
    const next = await iterator.next();
    done = next.done ?? false;
    if (!next.done) head = Buffer.concat([head, next.value]);
  }
  const rest = async function* (): AsyncGenerator<Buffer> {
    yield head;
    for (let next = await iterator.next(); !next.done; next = await iterator.next()) yield next.value;
  };
  if (head[0] !== 0x1f || head[1] !== 0x8b) return yield* rest();
  const gunzip: Transform = createGunzip();
  const source = Readable.from(rest());
  source.on('error', (error) => gunzip.destroy(error));
  yield* source.pipe(gunzip) as AsyncIterable<Buffer>;
}

async function* countBytes(input: AsyncIterable<Buffer>, meter: Meter): AsyncGenerator<Buffer> {
  for await (const chunk of input) {
    meter.readBytes += chunk.length;
    yield chunk;
  }
}

/** Windows begins a text with a byte order mark; it is no part of the first line. */
function withoutMark(line: Buffer, isFirst: boolean): Buffer {
  return isFirst && line[0] === 0xef && line[1] === 0xbb && line[2] === 0xbf ? line.subarray(3) : line;
}

/** Lines without their newlines, as many as came together. Throws `BrokenInput`. */
async function* readLines(input: AsyncIterable<Buffer>): AsyncGenerator<readonly Buffer[]> {
  let parts: Buffer[] = [];
  let held = 0;
  let isFirst = true;
  try {
    for await (const chunk of unpacked(input)) {
      const lines: Buffer[] = [];
      let start = 0;
      for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
        const line = chunk.subarray(start, end);
        lines.push(withoutMark(parts.length > 0 ? Buffer.concat([...parts, line]) : line, isFirst));
        isFirst = false;
        parts = [];
        held = 0;
        start = end + 1;
      }
      if (lines.length > 0) yield lines;
      parts.push(chunk.subarray(start));
      held += chunk.length - start;
      if (held > LINE_BYTES_MAX)
        throw new TidelogError('bad-line', `a line is longer than ${LINE_BYTES_MAX} bytes; a commit holds less`);
    }
  } catch (thrown) {
    const error =
      thrown instanceof TidelogError
        ? thrown
        : new TidelogError('bad-argument', `the input cannot be read: ${(thrown as Error).message}`);
    throw new BrokenInput(error);
  }
  const last = Buffer.concat(parts);
  if (last.length > 0) yield [withoutMark(last, isFirst)];
}

/** Progress on standard error, where that is a terminal. */
class Meter {
  readonly #bytes: number | null;
  readonly #startMs = performance.now();
  #shown = false;
  readBytes = 0;

  constructor(bytes: number | null) {
    this.#bytes = bytes;
  }

  show(lines: number, commits: number): void {
    if (!process.stderr.isTTY) return;
    this.#shown = true;
    const share = this.#bytes ? `${Math.min(100, Math.floor((this.readBytes / this.#bytes) * 100))} %  ` : '';
    const perSecond = Math.round(lines / ((performance.now() - this.#startMs) / 1000));
    process.stderr.write(
      `\r\u001b[K${share}${lines} lines  ${commits} commits  ${paint('dim', `${perSecond}/s`, process.stderr)}`,
    );
  }

  end(): void {
    if (this.#shown) process.stderr.write('\n');
  }
}
