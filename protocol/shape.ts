/** The shapes that every decoder asks for, in one place so that all of them mean the same. */
import { INTEGER_MAX } from './constants.ts';

/** A map as MessagePack and JSON have it: no array, no bytes. */
export function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array);
}

/** An integer from 0 to 2^53 − 1. */
export function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= INTEGER_MAX;
}

/** Exactly so many bytes. */
export function isBytes(value: unknown, length: number): value is Uint8Array {
  return value instanceof Uint8Array && value.length === length;
}
