/** What `npm run bench:browser` runs in the page: `await bench.join(link, commits)` and so on. Each answers what it measured. */
import { open, portablePlatform, type Database } from '../../client/browser.ts';
import { openIndexedDbStore } from '../../client/platform/indexeddb-store.ts';
import { randomBytes } from '../../client/platform/random.ts';

let database: Database | null = null;

function db(): Database {
  if (!database) throw new Error('it is not open');
  return database;
}

async function seconds(work: () => Promise<unknown> | void): Promise<number> {
  const started = performance.now();
  await work();
  return (performance.now() - started) / 1000;
}

function sum(values: readonly number[]): number {
  return values.reduce((all, value) => all + value, 0);
}

const bench = {
  isSecure: () => globalThis.isSecureContext,

  /** Until all is on the browser's disk: pairing, handshake, verification and state included. */
  async join(link: string, commits: number): Promise<{ seconds: number; commits: number }> {
    database = await open({ name: 'browser' });
    const took = await seconds(async () => (await db().connect(link)).caughtUp());
    const stats = db().space.stats();
    if (stats.commits < commits) throw new Error(`it has ${stats.commits} of ${commits} commits`);
    return { seconds: took, commits: stats.commits };
  },

  /** Of a page that is new: until it can be read and written. */
  async reopen(): Promise<{ openSeconds: number; readMs: number }> {
    const openSeconds = await seconds(async () => {
      database = await open({ name: 'browser' });
    });
    const reads = 500;
    const readSeconds = await seconds(async () => {
      for (let i = 0; i < reads; i++) await db().get(`note/${(i * 7919) % 100_000}`);
    });
    return { openSeconds, readMs: (readSeconds / reads) * 1000 };
  },

  /** Each awaited until it is on the disk; and so many at a time. */
  async write(count: number, atOnce: number): Promise<number> {
    const text = 'x'.repeat(80);
    return seconds(async () => {
      for (let i = 0; i < count; i += atOnce) {
        const writes = Array.from({ length: atOnce }, (_, k) => db().set(`own/${i + k}`, { i: i + k, text }).stored);
        await Promise.all(writes);
      }
    });
  },

  /** The floor: as many values of 200 bytes in IndexedDB, 1,000 to a transaction, flushed. */
  async floor(count: number): Promise<number> {
    const store = await openIndexedDbStore('floor');
    const taken: number[] = [];
    for (let from = 0; from < count; from += 1000) {
      const ops = Array.from({ length: 1000 }, (_, k) => {
        const key = new Uint8Array(8);
        new DataView(key.buffer).setUint32(4, from + k);
        return { table: 'state' as const, key, value: randomBytes(200) };
      });
      taken.push(await seconds(() => store.write(ops)));
    }
    await store.close();
    return sum(taken);
  },

  /** Verifications and signatures per second, by noble, and by WebCrypto where there is one: `atOnce` promises under way. */
  async ed25519(count: number): Promise<{ verify: number; sign: number; webVerify: number | null; sha256: number }> {
    const { crypto } = portablePlatform();
    const keys = crypto.ed25519KeyPair(randomBytes(32));
    const messages = Array.from({ length: count }, () => randomBytes(160));
    const signatures: Uint8Array[] = [];
    const signSeconds = await seconds(() => {
      for (const message of messages) signatures.push(crypto.ed25519Sign(keys, message));
    });
    const verifySeconds = await seconds(() => {
      for (const [i, message] of messages.entries()) crypto.ed25519Verify(keys.public, message, signatures[i]!);
    });
    const body = randomBytes(200);
    const sha256Seconds = await seconds(() => {
      for (let i = 0; i < 20_000; i++) crypto.sha256(body);
    });
    const { subtle } = globalThis.crypto as { subtle?: SubtleCrypto };
    let webVerify: number | null = null;
    if (subtle) {
      const key = await subtle.importKey('raw', keys.public as BufferSource, 'Ed25519', false, ['verify']);
      const verify = async (i: number): Promise<boolean> =>
        subtle.verify('Ed25519', key, signatures[i]! as BufferSource, messages[i]! as BufferSource);
      const webSeconds = await seconds(async () => {
        const all = await Promise.all(messages.map((_, i) => verify(i)));
        if (!all.every(Boolean)) throw new Error('WebCrypto refuses a signature');
      });
      webVerify = count / webSeconds;
    }
    return { verify: count / verifySeconds, sign: count / signSeconds, webVerify, sha256: 20_000 / sha256Seconds };
  },

  async close(): Promise<void> {
    await database?.close();
    database = null;
  },
};

Object.assign(globalThis, { bench });
