/** `read.ts URL FOLDER SUBJECT`: what a running node shows of a subject, as the kit's --read wants it: one JSON object, or null. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const [url, folder, subject] = process.argv.slice(2);
const token = readFileSync(join(folder!, 'token'), 'utf8').trim();
const path = subject!.split('/').map(encodeURIComponent).join('/');
const response = await fetch(`${url}/v1/resources/${path}`, { headers: { authorization: `Bearer ${token}` } });
if (response.status !== 200 && response.status !== 404) throw new Error(`${response.status}: ${await response.text()}`);
console.log(response.status === 404 ? 'null' : await response.text());
