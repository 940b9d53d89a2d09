/**
 * What the kit asks of a running node, over HTTP: the command line does the same, and takes a quarter of a second of CPU to start, hundreds of times.
 *
 *   control.ts URL FOLDER read SUBJECT                    one JSON object, or null
 *   control.ts URL FOLDER write SUBJECT PROPERTY VALUE    VALUE in JSON
 *   control.ts URL FOLDER invite ROLE SECONDS             the link
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const [url, folder, action, ...given] = process.argv.slice(2);
const token = readFileSync(join(folder!, 'token'), 'utf8').trim();

async function call(method: string, path: string, body?: unknown): Promise<Response> {
  const response = await fetch(url + path, {
    method,
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const isNothing = method === 'GET' && response.status === 404;
  if (!response.ok && !isNothing) throw new Error(`${response.status}: ${await response.text()}`);
  return response;
}

switch (action) {
  case 'read': {
    const response = await call('GET', `/v1/resources/${given[0]!.split('/').map(encodeURIComponent).join('/')}`);
    console.log(response.status === 404 ? 'null' : await response.text());
    break;
  }
  case 'write': {
    const [subject, property, value] = given;
    await call('POST', '/v1/commits', { changes: [{ subject, set: { [property!]: JSON.parse(value!) } }] });
    break;
  }
  case 'invite': {
    const [role, seconds] = given;
    const response = await call('POST', '/v1/pairing/invites', { role, lifeMs: Number(seconds) * 1000 });
    console.log(((await response.json()) as { link: string }).link);
    break;
  }
  default:
    throw new Error(`no action is named ${action}`);
}
