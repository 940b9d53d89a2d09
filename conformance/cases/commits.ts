/** TBD */
import type { Case } from '../case.ts';

export const commitCases: readonly Case[] = [];
