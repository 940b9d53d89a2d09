/** TBD */
import type { Case } from '../case.ts';

export const hostileCases: readonly Case[] = [];
