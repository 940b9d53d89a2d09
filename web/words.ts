/** Numbers, times and states as a person reads them. */
import { isBytesJson, type Change, type Device, type Json, type Role } from './source.ts';

const count = new Intl.NumberFormat('en');

export function number(value: number): string {
  return count.format(value);
}

export function plural(value: number, one: string, many = `${one}s`): string {
  return `${number(value)} ${value === 1 ? one : many}`;
}

/** `just now`, `5 s ago`, `3 min ago`, `2 h ago`, `4 days ago`. */
export function ago(ms: number, nowMs: number): string {
  const seconds = Math.max(0, Math.round((nowMs - ms) / 1000));
  if (seconds < 2) return 'just now';
  if (seconds < 100) return `${seconds} s ago`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 100) return `${minutes} min ago`;
  const hours = Math.round(minutes / 60);
  if (hours < 48) return `${hours} h ago`;
  return `${Math.round(hours / 24)} days ago`;
}

/** `4:05`. */
export function countdown(ms: number): string {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
}

const TIME = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });

/** A commit's time, which is in µs. */
export function timeOfUs(us: number | null): string {
  return us === null ? 'time unknown' : TIME.format(us / 1000);
}

const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' });
const DAY = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short', hour: 'numeric', minute: '2-digit' });
const YEAR = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium' });

/** Of today the clock, of this year the day with it, of other years the date. */
export function shortTimeOfUs(us: number): string {
  const [then, now] = [new Date(us / 1000), new Date()];
  if (then.toDateString() === now.toDateString()) return CLOCK.format(then);
  return (then.getFullYear() === now.getFullYear() ? DAY : YEAR).format(then);
}

export function timeOfMs(ms: number): string {
  return TIME.format(ms);
}

export function bytes(value: number): string {
  if (value < 1000) return plural(value, 'byte');
  const units = ['kB', 'MB', 'GB', 'TB'];
  let scaled = value / 1000;
  let unit = 0;
  while (scaled >= 999.5 && unit < units.length - 1) {
    scaled /= 1000;
    unit++;
  }
  return `${scaled >= 100 ? Math.round(scaled) : scaled.toPrecision(2)} ${units[unit]}`;
}

export function duration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  return ms < 100_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 60_000)} min`;
}

/** The first group of a device ID: enough to tell one's devices apart. */
export function shortId(id: string): string {
  return id.slice(0, 7);
}

/** A device's own subject goes by its whole ID, which nobody reads in a list. */
export function subjectInList(subject: string): string {
  return subject.replace(/^(~devices\/\w{7})[\w-]+$/, '$1…');
}

export function nameOf({ id, name }: { readonly id: string; readonly name: string }): string {
  return name === '' ? shortId(id) : name;
}

/** `3 commits behind`, `up to date`, … as seen from this device. */
export function progress({ self, revoked, recovery, connected, behind, ahead }: Device): string {
  if (self) return revoked ? 'this device, which has been revoked' : 'this device';
  if (revoked) return 'revoked';
  if (recovery) return 'an owner’s key on paper, for when the others are lost';
  const parts = [];
  if (behind !== null && behind > 0) parts.push(`${plural(behind, 'commit')} behind`);
  if (ahead !== null && ahead > 0) parts.push(`has ${plural(ahead, 'commit')} that are not here yet`);
  if (parts.length > 0) return parts.join(', ');
  if (behind === 0) return 'up to date';
  return connected ? 'comparing…' : 'not known how far it is';
}

/** `192.168.1.20:7600` of `ws://192.168.1.20:7600/sync`. */
export function hostOf(address: string): string {
  return address.replace(/^\w+:\/\//, '').replace(/\/(sync)?$/, '');
}

export const ROLE_WORDS: Readonly<Record<Role, string>> = {
  owner: 'owner: reads, writes, and decides who is in',
  writer: 'writer: reads and writes',
  reader: 'reader: reads only',
  mirror: 'mirror: keeps a copy of everything, writes nothing',
};

/** One line for a list. */
export function brief(value: Json | undefined): string {
  if (value === undefined) return '(removed)';
  if (value === '') return '(empty text)';
  if (typeof value === 'string') return value;
  if (value === null) return 'nothing';
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  if (typeof value === 'number') return String(value);
  if (isBytesJson(value)) return `${bytesOf(value.$bytes)} of data`;
  return JSON.stringify(value);
}

function bytesOf(base64url: string): string {
  return bytes(Math.floor((base64url.length * 3) / 4));
}

/** Its first `most` characters; what is left out shows as `…`. */
export function cut(text: string, most: number): string {
  // Not in the middle of a character that takes two.
  return text.length > most ? `${text.slice(0, most).replace(/[\ud800-\udbff]$/, '')}…` : text;
}

/** Of a value in a list of commits. A value may be a whole page of text; the commit that the line leads to shows all of it. */
export const VALUE_IN_LIST = 200;

/** A change in lines, with so much of each value. */
export function describe(
  { destroy, set = {}, unset = [], inc = {}, add = {}, remove = {} }: Change,
  most = Infinity,
): string[] {
  const list = (values: readonly Json[]): string => cut(values.map(brief).join(', '), most);
  return [
    ...(destroy ? ['deleted what was there'] : []),
    ...Object.entries(set).map(([name, value]) => `${name} = ${cut(brief(value), most)}`),
    ...unset.map((name) => `removed ${name}`),
    ...Object.entries(inc).map(([name, amount]) => `${name} ${amount < 0 ? '−' : '+'} ${Math.abs(amount)}`),
    ...Object.entries(add).map(([name, values]) => `added to ${name}: ${list(values)}`),
    ...Object.entries(remove).map(([name, values]) => `took from ${name}: ${list(values)}`),
  ];
}
