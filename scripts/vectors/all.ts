/** Every file of test/vectors by its name, as text. The same at every run: nothing here asks for a clock, randomness, or a compressor. */
import { chainsAndIds, chainsAndIdsInvalid, deviceIds, deviceIdsInvalid } from './identity.ts';
import { batches, batchesInvalid, bodies, bodiesInvalid, runs, runsInvalid, vectorsAndDigests, vectorsAndDigestsInvalid } from './log.ts'; // prettier-ignore
import { forks, forksInvalid } from './forks.ts';
import { membership, membershipInvalid } from './members.ts';
import { clock, clockInvalid, merge, mergeInvalid } from './merging.ts';
import { noise, noiseInvalid, pairing, pairingInvalid } from './pairing.ts';
import { cursors, cursorsInvalid, messages, messagesInvalid } from './wire.ts';

const MAKERS: Readonly<Record<string, readonly [good: () => object, invalid: () => object]>> = {
  'device-ids': [deviceIds, deviceIdsInvalid],
  'chains-and-ids': [chainsAndIds, chainsAndIdsInvalid],
  bodies: [bodies, bodiesInvalid],
  runs: [runs, runsInvalid],
  batches: [batches, batchesInvalid],
  forks: [forks, forksInvalid],
  'vectors-and-digests': [vectorsAndDigests, vectorsAndDigestsInvalid],
  cursors: [cursors, cursorsInvalid],
  messages: [messages, messagesInvalid],
  noise: [noise, noiseInvalid],
  pairing: [pairing, pairingInvalid],
  merge: [merge, mergeInvalid],
  membership: [membership, membershipInvalid],
  clock: [clock, clockInvalid],
};

export function vectorFiles(): Map<string, string> {
  const files = new Map<string, string>();
  for (const [name, [good, invalid]] of Object.entries(MAKERS)) {
    files.set(`${name}.json`, format(good()));
    files.set(`${name}_invalid.json`, format(invalid()));
  }
  return files;
}

const LINE_CHARACTERS = 120;

/** JSON with two spaces, where what fits in a line stays in one. */
function format(value: object): string {
  return `${lines(value, '')}\n`;
}

function lines(value: unknown, indent: string): string {
  const flat = JSON.stringify(value);
  if (typeof value !== 'object' || value === null || indent.length + flat.length <= LINE_CHARACTERS)
    return spaced(value);
  const inner = `${indent}  `;
  const [open, close] = Array.isArray(value) ? '[]' : '{}';
  const items = Array.isArray(value)
    ? value.map((item) => lines(item, inner))
    : Object.entries(value).map(([key, item]) => `${JSON.stringify(key)}: ${lines(item, inner)}`);
  return `${open}\n${items.map((item) => inner + item).join(',\n')}\n${indent}${close}`;
}

function spaced(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(spaced).join(', ')}]`;
  const entries = Object.entries(value).map(([key, item]) => `${JSON.stringify(key)}: ${spaced(item)}`);
  return entries.length === 0 ? '{}' : `{ ${entries.join(', ')} }`;
}
