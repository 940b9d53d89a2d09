/** Calls into a program of `programs/` that stays: over Node's channel to a child process, one at a time. */
import { fork, type ChildProcess } from 'node:child_process';
import { programPath } from './support.ts';

interface Question {
  readonly call: string;
  readonly argument: unknown;
}
type Answer = { readonly result: unknown } | { readonly error: string };

export class Program {
  readonly child: ChildProcess;
  readonly #exited: Promise<void>;

  constructor(name: string, args: readonly string[] = [], flags: readonly string[] = []) {
    this.child = fork(programPath(name), args, { execArgv: [...flags], serialization: 'advanced' });
    this.#exited = new Promise((resolve) => this.child.once('exit', () => resolve()));
  }

  get pid(): number {
    return this.child.pid!;
  }

  /** Throws what the call throws there. */
  async call<T>(call: string, argument?: unknown): Promise<T> {
    const question: Question = { call, argument };
    const answer = await new Promise<Answer>((resolve, reject) => {
      const onExit = (code: number | null): void => reject(new Error(`the program ended with ${code} in ${call}`));
      this.child.once('exit', onExit);
      this.child.once('message', (message: Answer) => {
        this.child.off('exit', onExit);
        resolve(message);
      });
      this.child.send(question);
    });
    if ('error' in answer) throw new Error(answer.error);
    return answer.result as T;
  }

  async stop(): Promise<void> {
    if (this.child.connected) this.child.disconnect();
    await this.#exited;
  }
}

/** In the program: answers calls until the channel ends, then tidies up and exits. */
export function answerCalls(
  calls: Readonly<Record<string, (argument: never) => unknown>>,
  onEnd: () => Promise<void>,
): void {
  process.on('message', async ({ call, argument }: Question) => {
    try {
      const result = await calls[call]!(argument as never);
      process.send!({ result } satisfies Answer);
    } catch (thrown) {
      process.send!({
        error: thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown),
      } satisfies Answer);
    }
  });
  process.on('disconnect', async () => {
    await onEnd();
    process.exit(0);
  });
}

/** ms of the machine's monotonic clock, which all its processes share. */
export function sharedNowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
