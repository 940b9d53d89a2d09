/** TBD */
import type { Case } from '../case.ts';

export const valueCases: readonly Case[] = [];
