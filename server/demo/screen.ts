/**
 * Where the story is shown: on a terminal with a table below it that lives, in a pipe as plain lines, or as JSON, one object for each step.
 */
import { stripVTControlCharacters } from 'node:util';

import { paint, table } from '../terminal.ts';
import type { DeviceRow } from './household.ts';
import type { Step } from './story.ts';

export interface Screen {
  step(step: Step, rows: readonly DeviceRow[]): void;
  /** Words for people between the steps. */
  text(text: string): void;
  /** How it looks now, between two steps. */
  rows(rows: readonly DeviceRow[]): void;
  close(): void;
}

export function jsonScreen(out: NodeJS.WriteStream): Screen {
  const line = (value: unknown): void => void out.write(`${JSON.stringify(value)}\n`);
  return {
    step: ({ step, says, facts }, rows) => line({ step, says, ...facts, devices: rows }),
    text() {},
    rows() {},
    close() {},
  };
}

export function plainScreen(out: NodeJS.WriteStream): Screen {
  let shown = '';
  return {
    step({ says }, rows) {
      const text = indent(tableOf(rows));
      out.write(text === shown || rows.length === 0 ? `${says}\n\n` : `${says}\n\n${text}\n\n`);
      shown = text;
    },
    text: (text) => void out.write(`${text}\n`),
    rows() {},
    close() {},
  };
}

const ESC = '\u001b';
const HIDE_CURSOR = `${ESC}[?25l`;
const SHOW_CURSOR = `${ESC}[?25h`;
/** The terminal shows what comes between these two at once, where it can. */
const BEGIN_UPDATE = `${ESC}[?2026h`;
const END_UPDATE = `${ESC}[?2026l`;
const ERASE_LINE_END = `${ESC}[K`;
const ERASE_BELOW = `${ESC}[J`;

/**
 * The table is the last thing on the screen. It is written over in place, and only where it changed; text goes above it and scrolls
 * away with it as any output does.
 */
export class LiveScreen implements Screen {
  readonly #out: NodeJS.WriteStream;
  /** Lines of the table as they stand on the screen. */
  #lines: string[] = [];
  #rows: readonly DeviceRow[] = [];
  readonly #onResize = (): void => this.#draw('', true);

  constructor(out: NodeJS.WriteStream) {
    this.#out = out;
    out.on('resize', this.#onResize);
    out.write(HIDE_CURSOR);
  }

  step({ says }: Step, rows: readonly DeviceRow[]): void {
    this.#rows = rows;
    this.#draw(`\n${paint('cyan', '●')} ${wrap(says, this.#columns - 2).join('\n  ')}\n`);
  }

  text(text: string): void {
    this.#draw(`\n${text}\n`);
  }

  rows(rows: readonly DeviceRow[]): void {
    this.#rows = rows;
    this.#draw('');
  }

  close(): void {
    this.#out.off('resize', this.#onResize);
    this.#out.write(SHOW_CURSOR);
    // The table stays as it was last, and what is said now goes below it.
    this.#lines = [];
    this.#rows = [];
  }

  get #columns(): number {
    return Math.max(20, this.#out.columns || 80);
  }

  #draw(above: string, always = false): void {
    const lines = this.#rows.length === 0 ? [] : ['', ...tableOf(this.#rows).split('\n')];
    // A line that wraps would be two, and the way back up would be wrong.
    const fitting = lines.map((line) =>
      stripVTControlCharacters(line).length < this.#columns ? line : cut(line, this.#columns - 1),
    );
    if (above === '' && !always && fitting.join('\n') === this.#lines.join('\n')) return;
    const up = this.#lines.length > 0 ? `${ESC}[${this.#lines.length}A` : '';
    const body = fitting.map((line) => `${line}${ERASE_LINE_END}\n`).join('');
    const text = above === '' ? '' : above.replaceAll('\n', `${ERASE_LINE_END}\n`);
    this.#out.write(`${BEGIN_UPDATE}${up}\r${text}${body}${ERASE_BELOW}${END_UPDATE}`);
    this.#lines = fitting;
  }
}

function tableOf(rows: readonly DeviceRow[]): string {
  return table(
    ['device', 'now', 'head', 'commits', 'resources', 'conflicts', 'behind', 'last arrival from'],
    rows.map(({ device, online, head, commits, resources, conflicts, behind, lastArrival }) => [
      paint('bold', device),
      online ? paint('green', 'online') : paint('red', 'offline'),
      String(head),
      String(commits),
      String(resources),
      conflicts > 0 ? paint('yellow', String(conflicts)) : '0',
      behind > 0 ? paint('yellow', String(behind)) : '0',
      lastArrival ? `${lastArrival.from}, ${formatDelay(lastArrival.delayMs)}` : paint('dim', '-'),
    ]),
  );
}

/** What was written while the other was offline took as long as that lasted. */
function formatDelay(ms: number): string {
  return ms < 1000 ? `${Math.max(1, Math.round(ms))} ms` : `${(ms / 1000).toFixed(1)} s`;
}

function indent(text: string): string {
  return text.replaceAll(/^/gm, '  ');
}

/** Lines no longer than this, broken between words. */
function wrap(text: string, columns: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > columns) {
      lines.push(line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}

/** Without its colours: to cut them right is not worth it. */
function cut(line: string, columns: number): string {
  return stripVTControlCharacters(line).slice(0, columns);
}
