/** TBD */
import type { Case } from '../case.ts';

export const batchCases: readonly Case[] = [];
