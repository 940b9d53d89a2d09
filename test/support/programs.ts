/** Programs of this machine that some tests need. */
import { execFileSync } from 'node:child_process';

/** Does it run with these arguments, and end well? */
export function has(program: string, ...args: string[]): boolean {
  try {
    execFileSync(program, args, { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
