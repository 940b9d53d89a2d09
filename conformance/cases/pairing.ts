/** TBD */
import type { Case } from '../case.ts';

export const pairingCases: readonly Case[] = [];
