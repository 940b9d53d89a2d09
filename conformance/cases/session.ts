/** TBD */
import type { Case } from '../case.ts';

export const sessionCases: readonly Case[] = [];
