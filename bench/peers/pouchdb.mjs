/** PouchDB replicating over HTTP from an Express server, LevelDB on both sides. `send N FOLDER` and `receive N FOLDER PORT`. */
import express from 'express';
import expressPouchDB from 'express-pouchdb';
import PouchDB from 'pouchdb';
import { records, say } from './common.mjs';

const [side, count, folder, port] = process.argv.slice(2);
const N = Number(count);
if (side === 'send') {
  const Local = PouchDB.defaults({ prefix: `${folder}/` });
  const db = new Local('notes');
  const all = [...records(N)].map(({ key, ...rest }) => ({ _id: key, ...rest }));
  const started = performance.now();
  for (let from = 0; from < N; from += 1000) await db.bulkDocs(all.slice(from, from + 1000));
  const writeSeconds = (performance.now() - started) / 1000;
  const app = express();
  app.use(
    '/',
    expressPouchDB(Local, { mode: 'minimumForPouchDB', inMemoryConfig: true, logPath: `${folder}/log.txt` }),
  );
  const server = app.listen(0, '127.0.0.1', () => say({ port: server.address().port, writeSeconds }));
} else {
  const db = new PouchDB(`${folder}/copy`);
  const started = performance.now();
  await db.replicate.from(`http://127.0.0.1:${port}/notes`, { batch_size: 1000 });
  const seconds = (performance.now() - started) / 1000;
  const { doc_count: has } = await db.info();
  await db.close();
  say({ seconds, has });
  process.exit(0);
}
