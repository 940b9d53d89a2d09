/** Durations as people write them: `90s`, `10m`, `2h`, `7d`. */

/** In a setting: not at all. */
export const NEVER = 'never';

/** ms; null for what is none. */
export function durationMs(text: string): number | null {
  const match = /^(\d{1,9})\s*(s|m|h|d)$/.exec(text);
  if (!match) return null;
  const unitMs = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }[match[2] as 's' | 'm' | 'h' | 'd'];
  return Number(match[1]) * unitMs;
}
