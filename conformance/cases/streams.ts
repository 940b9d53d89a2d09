/** TBD */
import type { Case } from '../case.ts';

export const streamCases: readonly Case[] = [];
