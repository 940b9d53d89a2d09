/** The thread of batch-reader.ts. Nothing but the short way in: what it doesn't give is read in the main thread, which says what is wrong. */
import { parentPort } from 'node:worker_threads';
import { readShort } from '../replica/incoming.ts';
import type { ReadAnswer, ReadRequest } from './batch-reader.ts';
import { nodeCrypto } from './crypto-node.ts';
import { zstdNode } from './zstd-node.ts';

const port = parentPort!;
const codecs = [zstdNode];

port.on('message', ({ number, space, block, withRecords }: ReadRequest) => {
  const read = readShort(nodeCrypto, codecs, space, block, withRecords);
  const answer: ReadAnswer = { number, read };
  if (read === null) {
    port.postMessage(answer);
    return;
  }
  const { plain, subjects } = read;
  const parts = [plain.raw, plain.records, plain.chainOf, plain.bodyAt, plain.bodyEnd, plain.depsEnd, plain.isOther];
  const more = [plain.time, plain.firstChange, plain.subjectAt, plain.subjectBytes, plain.subjectHash];
  const buffers = new Set<ArrayBufferLike>(
    [...parts, ...more, plain.recordAt, plain.recordEnd].map(({ buffer }) => buffer),
  );
  if (subjects) buffers.add(subjects.buffer);
  port.postMessage(answer, [...buffers] as ArrayBuffer[]);
});
const ready: ReadAnswer = { number: 0, read: null };
port.postMessage(ready);
