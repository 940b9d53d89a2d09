/** `read.ts FOLDER SUBJECT`: what a running node shows of a subject, as the kit's --read wants it: one JSON object, or null. */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const [folder, subject] = process.argv.slice(2);
const bin = fileURLToPath(new URL('../../bin/tidelog.js', import.meta.url));
try {
  const printed = execFileSync(process.execPath, [bin, '--data', folder!, '--json', 'get', subject!], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  console.log(printed.trim());
} catch (thrown) {
  const { stderr } = thrown as { stderr: string };
  if (!stderr.includes('not-found')) throw thrown;
  console.log('null');
}
