/** What `tidelog doctor` has to say of one thing. */
export interface Finding {
  /** What was looked at: for programs, and stable. */
  readonly check: string;
  /** `bad`: something does not work, or is open to others. `warn`: it works, and somebody should know. */
  readonly state: 'ok' | 'warn' | 'bad';
  /** One sentence. */
  readonly says: string;
  /** What to do about it; null where there is nothing to do. */
  readonly do: string | null;
}

export const ok = (check: string, says: string): Finding => ({ check, state: 'ok', says, do: null });
export const warn = (check: string, says: string, todo: string): Finding => ({ check, state: 'warn', says, do: todo });
export const bad = (check: string, says: string, todo: string): Finding => ({ check, state: 'bad', says, do: todo });

export function count(number: number, one: string, many = `${one}s`): string {
  return `${number} ${number === 1 ? one : many}`;
}
