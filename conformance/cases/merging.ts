/** TBD */
import type { Case } from '../case.ts';

export const mergeCases: readonly Case[] = [];
