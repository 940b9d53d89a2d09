/** All cases, in the order of the protocol's chapters. */
import type { Case } from '../case.ts';
import { batchCases } from './batches.ts';
import { channelCases } from './channel.ts';
import { commitCases } from './commits.ts';
import { entryCases } from './entries.ts';
import { forkCases } from './forks.ts';
import { hostileCases } from './hostile.ts';
import { joiningCases } from './joining.ts';
import { memberCases } from './members.ts';
import { mergingCases } from './merges.ts';
import { mergeCases } from './merging.ts';
import { messageCases } from './messages.ts';
import { pairingCases } from './pairing.ts';
import { rightCases } from './rights.ts';
import { sessionCases } from './session.ts';
import { streamCases } from './streams.ts';
import { subscriptionCases } from './subscriptions.ts';
import { transportCases } from './transport.ts';
import { valueCases } from './values.ts';

const CHAPTERS: readonly (readonly Case[])[] = [
  valueCases,
  commitCases,
  entryCases,
  batchCases,
  forkCases,
  rightCases,
  memberCases,
  mergingCases,
  mergeCases,
  transportCases,
  channelCases,
  messageCases,
  sessionCases,
  streamCases,
  subscriptionCases,
  pairingCases,
  joiningCases,
  hostileCases,
];

/** Sections are compared by number, so that 10.2 comes after 9 and before 10.10. */
export const CASES: readonly Case[] = CHAPTERS.flat().toSorted((a, b) => compareIds(a.id, b.id));

function compareIds(a: string, b: string): number {
  const [left, right] = [a, b].map((id) => id.split(/[./]/).map(Number));
  // Cases of a chapter as a whole (`5/2`) come before those of its sections (`5.1/1`).
  const isWhole = (id: string): number => (id.includes('.') ? 1 : 0);
  if (left![0] !== right![0]) return left![0]! - right![0]!;
  if (isWhole(a) !== isWhole(b)) return isWhole(a) - isWhole(b);
  for (let i = 1; i < left!.length; i++) if (left![i] !== right![i]) return left![i]! - right![i]!;
  return 0;
}
