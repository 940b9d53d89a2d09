/** TBD */
import type { Case } from '../case.ts';

export const memberCases: readonly Case[] = [];
