/**
 * Structured logs: one JSON object per line for programs, one readable line for a person.
 *
 * Levels: info, what a person would want to know a day later (started, connected, paired); debug, what explains a fault. Nothing is
 * logged for each entry that is stored, and nothing that lets somebody in: no tokens, links, secrets, keys.
 */
import pino, { type Logger } from 'pino';

import type { PeerEvent } from '../client/events.ts';
import { shortDeviceId } from '../protocol/device-id.ts';
import { paint, printable } from './terminal.ts';
import type { Config } from './config.ts';

export type LogFormat = 'json' | 'pretty';

/** Where lines go: a stream of the process, or a test's own. */
export interface LogSink {
  write(text: string): unknown;
}

/** If one of these ever gets into an object that is logged. */
const SECRETS = ['token', 'link', 'secret', '*.token', '*.link', '*.secret'];

export function createLog(level: Config['logLevel'], format: LogFormat, sink: LogSink): Logger {
  const destination = format === 'json' ? sink : { write: (line: string) => sink.write(readable(line)) };
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: SECRETS,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination,
  );
}

export function silentLog(): Logger {
  return pino({ level: 'silent' });
}

const COLOUR = { debug: 'dim', info: 'green', warn: 'yellow', error: 'red' } as const;

/** `12:00:01 info  connected  device=MFRGGZD name=phone`. Names are what strangers say they are, and errors quote them. */
function readable(line: string): string {
  const { time, level, msg, err, ...rest } = JSON.parse(line) as Record<string, unknown> & { level: string };
  const clock = paint('dim', new Date(String(time)).toTimeString().slice(0, 8));
  const label = paint(COLOUR[level as keyof typeof COLOUR] ?? 'red', level.padEnd(5));
  const fields = Object.entries(rest).map(
    ([key, value]) =>
      `  ${paint('dim', `${key}=`)}${printable(typeof value === 'string' ? value : JSON.stringify(value))}`,
  );
  const cause = err as { stack?: string; message?: string } | undefined;
  const trace = String(cause?.stack ?? cause?.message ?? '')
    .split('\n')
    .map(printable);
  return `${clock} ${label} ${String(msg ?? '')}${fields.join('')}\n${cause ? `${trace.join('\n')}\n` : ''}`;
}

/** What a peer says of itself, for the log. What happens for each entry is left out. */
export function logEvent(log: Logger, event: PeerEvent): void {
  switch (event.type) {
    case 'appended':
    case 'membership':
      return;
    case 'connected': {
      const { device, remote, address, initiator } = event.connection;
      log.info({ device: shortDeviceId(device), name: remote?.name, address, dialled: initiator }, 'connected');
      return;
    }
    case 'disconnected': {
      const { connection, error } = event;
      const { address, established } = connection;
      const fields = {
        address,
        ...(established && { device: shortDeviceId(connection.device) }),
        ...(error && { code: error.code }),
      };
      // Strangers and scanners come and go; a device of ours that goes is worth a line.
      log[established ? 'info' : 'debug'](fields, 'disconnected');
      return;
    }
    case 'pending':
      log.info(
        { device: event.pending.id, name: event.pending.name, address: event.pending.address },
        'a device waits for approval',
      );
      return;
    case 'paired':
      log.info({ device: event.device, name: event.name, space: event.space.hex, role: event.role }, 'paired');
      return;
    case 'adopted':
      log.info({ space: event.space.hex }, 'a space was joined');
      return;
    case 'swept':
      log.warn({ space: event.space.hex, erased: event.erased }, 'commits of a revoked device were taken out');
      return;
    case 'future':
      log.warn({ device: event.device, time: event.timeUs }, 'a device writes with a clock far ahead');
      return;
    case 'failed':
      log.error({ err: event.error, space: event.space.hex }, 'work behind the scenes failed');
      return;
  }
}
