/** The real command line in processes of its own. */
import { spawn, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const BIN = fileURLToPath(new URL('../../bin/tidelog.js', import.meta.url));

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** `input` is the standard input, whole. */
export async function tidelog(
  dataDir: string,
  args: readonly string[],
  input: string | Uint8Array = '',
): Promise<Outcome> {
  const child = launch(dataDir, args);
  // A command that has no use for it may end before it is written.
  child.stdin!.on('error', () => {});
  child.stdin!.end(input);
  const [stdout, stderr, code] = await Promise.all([
    textOf(child.stdout!),
    textOf(child.stderr!),
    new Promise<number | null>((resolve) => child.once('exit', resolve)),
  ]);
  return { code, stdout, stderr };
}

export interface RunningCommand {
  readonly child: ChildProcess;
  /** Resolves with the first line that matches; fails when the process ends before. */
  line(pattern: RegExp): Promise<string>;
  /** Sends a signal and resolves with the exit code; null where the signal killed it. */
  end(signal?: NodeJS.Signals): Promise<number | null>;
}

/** A command that goes on by itself, like `start`. */
export function startTidelog(dataDir: string, args: readonly string[]): RunningCommand {
  const child = launch(dataDir, args);
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve));
  let output = '';
  const waiting = new Set<() => void>();
  for (const stream of [child.stdout!, child.stderr!]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      for (const look of waiting) look();
    });
  }
  return {
    child,
    line: (pattern) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const line = output
            .split('\n')
            .slice(0, -1)
            .find((text) => pattern.test(text));
          if (line === undefined) return;
          waiting.delete(look);
          resolve(line);
        };
        waiting.add(look);
        look();
        void exited.then((code) => reject(new Error(`it ended with ${code}: ${output}`)));
      }),
    end: (signal = 'SIGTERM') => {
      child.kill(signal);
      return exited;
    },
  };
}

function launch(dataDir: string, args: readonly string[]): ChildProcess {
  // Whatever colour the test runner is in.
  const env = { ...process.env, TIDELOG_DATA: dataDir, FORCE_COLOR: undefined };
  return spawn(process.execPath, [BIN, ...args], { env, stdio: 'pipe' });
}

async function textOf(stream: NodeJS.ReadableStream): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}
