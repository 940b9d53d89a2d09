/**
 * The files of test/vectors against the code, as another implementation would use them: from their bytes and their JSON alone, by both
 * providers of primitives. That `scripts/vectors.ts` still makes these files is the last test.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { History } from '../../client/history.ts';
import { Invites } from '../../client/invites.ts';
import { MemoryStore } from '../../client/memory-store.ts';
import { nodeCrypto } from '../../client/platform/crypto-node.ts';
import { portableCrypto } from '../../client/platform/crypto-portable.ts';
import { zstdNode } from '../../client/platform/zstd-node.ts';
import { zstdPortable } from '../../client/platform/zstd-portable.ts';
import { admitBatch } from '../../client/replica/admit.ts';
import { View } from '../../client/replica/view.ts';
import { authenticate } from '../../protocol/authenticate.ts';
import { checkPositions, decodeBatch, encodeBatch } from '../../protocol/batch.ts';
import { decodeBody, decodeStem, encodeBody, eraseBody, hashBody, hashErased, type Change, type Ops } from '../../protocol/body.ts'; // prettier-ignore
import { concat, toHex, utf8 } from '../../protocol/bytes.ts';
import { Channel } from '../../protocol/channel.ts';
import { observe, tick } from '../../protocol/clock.ts';
import { noneCodec } from '../../protocol/codec.ts';
import { chainId, ChainHasher, spaceId } from '../../protocol/commit.ts';
import { formatDeviceId, parseDeviceId, shortDeviceId } from '../../protocol/device-id.ts';
import { checkDeviceKey, verifyStrict } from '../../protocol/ed25519.ts';
import { ERRORS, TidelogError, type ErrorCode } from '../../protocol/errors.ts';
import { FrameAssembler } from '../../protocol/frame.ts';
import { changesMembership, Membership, readFacts, type Fact } from '../../protocol/membership.ts';
import { apply, applyUnfolded, EMPTY_RESOURCE, fold, resourceConflicts, resourceValue, SplitTally, type Author, type Resource } from '../../protocol/merge.ts'; // prettier-ignore
import { readFork } from '../../protocol/fork.ts';
import { decodeMessage, encodeMessage, type BatchMessage, type Message, type StartsFrom, type SubscribeAll } from '../../protocol/messages.ts'; // prettier-ignore
import { encode } from '../../protocol/msgpack.ts';
import { decodePairLink, encodePairLink, pairDigits, pairProof, syncUrl, type PairInvite } from '../../protocol/pair-link.ts'; // prettier-ignore
import { newSession, step, type SessionEvent, type SessionState } from '../../protocol/session.ts';
import { digest, type ChainHead } from '../../protocol/vector.ts';
import { vectorFiles } from '../../scripts/vectors/all.ts';
import { hex, refusal } from '../support/protocol.ts';

const folder = new URL('../vectors/', import.meta.url);

/** What a case of a file is made of; each test takes from it what it needs. */
// oxlint-disable-next-line typescript/no-explicit-any -- JSON of another hand
type Case = any;

function file(name: string): Record<string, Case[]> {
  return JSON.parse(readFileSync(new URL(`${name}.json`, folder), 'utf8')) as Record<string, Case[]>;
}

/** Hex, or a list of pieces: hex, or [hex, times]. */
function bytesOf(pieces: string | (string | [string, number])[]): Uint8Array {
  if (typeof pieces === 'string') return hex(pieces);
  const parts = pieces.map((piece) => (typeof piece === 'string' ? piece : piece[0].repeat(piece[1])));
  return new Uint8Array(Buffer.from(parts.join(''), 'hex'));
}

function fromJson(value: Case): unknown {
  if (Array.isArray(value)) return value.map(fromJson);
  if (typeof value !== 'object' || value === null) return value;
  if (typeof value.$hex === 'string') return hex(value.$hex);
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, fromJson(item)]));
}

function toJson(value: unknown): unknown {
  if (value instanceof Uint8Array) return { $hex: toHex(value) };
  if (Array.isArray(value)) return value.map(toJson);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, toJson(item)]));
}

const changesOf = (json: Case): Change[] => json.map(([subject, ops]: [string, Case]) => ({ subject, ops: fromJson(ops) as Ops })); // prettier-ignore

function each(name: string, section: string, check: (of: Case) => unknown): void {
  const cases = file(name)[section]!;
  expect(cases.length).toBeGreaterThan(0);
  for (const [i, of] of cases.entries()) {
    try {
      check(of);
    } catch (thrown) {
      throw new Error(`${name}.json ${section}[${i}] ${JSON.stringify(of.name)}: ${String(thrown)}`, { cause: thrown });
    }
  }
}

function expectCode(act: () => unknown, code: string): TidelogError {
  const refused = refusal(act);
  expect(refused.code).toBe(code);
  return refused;
}

/** As a peer would refuse it. */
const refuse = (code: ErrorCode): never => {
  throw new TidelogError(code);
};

describe('without primitives', () => {
  test('device-ids', () => {
    each('device-ids', 'ids', ({ key, id, short, written }) => {
      expect(formatDeviceId(hex(key))).toBe(id);
      expect(shortDeviceId(hex(key))).toBe(short);
      for (const text of [id, ...written]) expect(toHex(parseDeviceId(text))).toBe(key);
    });
    each('device-ids_invalid', 'refused', ({ text, code, groups }) => {
      expect(expectCode(() => parseDeviceId(text), code).detail['groups'] ?? []).toEqual(groups);
    });
  });

  test('bodies and stems are refused', () => {
    each('bodies_invalid', 'bodies', ({ body, code }) => expectCode(() => decodeBody(bytesOf(body)), code));
    each('bodies_invalid', 'stems', ({ stem, code }) => expectCode(() => decodeStem(hex(stem)), code));
    each('merge_invalid', 'bodies', ({ body, code }) => expectCode(() => decodeBody(hex(body)), code));
    each('clock_invalid', 'bodies', ({ body, code }) => expectCode(() => decodeBody(hex(body)), code));
  });

  test('batches', () => {
    each('batches', 'batches', ({ raw, isShortest, chains, entries }) => {
      const batch = decodeBatch(hex(raw));
      expect(batch.chains.map(({ device, nonce, seq, id }) => [toHex(device), toHex(nonce), seq, toHex(id)])).toEqual(chains); // prettier-ignore
      expect(batch.entries.map((entry) => Object.fromEntries(Object.entries(entry).map(([key, value]) => [key, value instanceof Uint8Array ? toHex(value) : value])))).toEqual(entries); // prettier-ignore
      expect(toHex(encodeBatch(batch)) === raw).toBe(isShortest);
    });
    each('batches_invalid', 'batches', ({ raw, code }) => expectCode(() => decodeBatch(bytesOf(raw)), code));
    each('batches', 'spans', ({ prev, last, raw }) => checkPositions(decodeBatch(hex(raw)), { prev, last }));
    each('batches_invalid', 'spans', ({ prev, last, raw, code }) => expectCode(() => checkPositions(decodeBatch(hex(raw)), { prev, last }), code)); // prettier-ignore
  });

  test.each([zstdNode, zstdPortable])('batches, packed: unpacker %#', (zstd) => {
    const codecs = [noneCodec, zstd];
    each('batches', 'packed', ({ codec, rawBytes, data, raw }) => {
      const unpacked = codecs[codec]!.unpack(bytesOf(data), rawBytes);
      expect(unpacked.length).toBe(rawBytes);
      expect(Buffer.compare(unpacked, bytesOf(raw))).toBe(0);
    });
    each('batches_invalid', 'packed', ({ codec, rawBytes, data, code }) =>
      expectCode(() => codecs[codec]!.unpack(bytesOf(data), rawBytes), code),
    );
  });

  test('messages', () => {
    each('messages', 'messages', ({ hex: bytes, message, isShortest }) => {
      const decoded = decodeMessage(hex(bytes));
      expect(messageJson(decoded)).toEqual(message);
      if (isShortest) expect(toHex(encodeMessage(decoded!))).toBe(bytes);
    });
    each('messages_invalid', 'messages', ({ hex: bytes, code }) =>
      expectCode(() => decodeMessage(bytesOf(bytes)), code),
    );
  });

  test('messages at a wrong time', () => {
    each('messages_invalid', 'sessions', ({ isKnown, before, message, code }) => {
      let state = newSession(0);
      for (const [way, bytes] of before as ['in' | 'out', Case][]) {
        const decoded = decodeMessage(bytesOf(bytes))!;
        [state] = step(way === 'out' ? accepted(state, decoded) : state, way === 'in' ? { type: 'message', message: decoded, nowMs: 0 } : said(decoded, isKnown)); // prettier-ignore
      }
      expect(state.phase).not.toBe('closed');
      const [, effects] = step(state, { type: 'message', message: decodeMessage(bytesOf(message))!, nowMs: 0 });
      expect(effects.at(-1)).toMatchObject({ type: 'close', error: { code } });
    });
  });

  test('cursors', () => {
    const wrapped = (encoded: Case): Uint8Array =>
      concat(hex('960301'), encode(new Uint8Array(32)), bytesOf(encoded), hex('c3ce00400000'));
    const startsFrom = (encoded: Case): StartsFrom => (decodeMessage(wrapped(encoded)) as SubscribeAll).from;
    each('cursors', 'encodings', ({ encoded, from, firstPrev }) => {
      const read = startsFrom(encoded);
      expect(messageJson(read)).toEqual(from);
      const request = { space: new Uint8Array(32), from: read, filter: null, live: true, credit: 4_194_304 };
      const [state] = step({ ...newSession(0), phase: 'open' }, { type: 'subscribe', request, nowMs: 0 });
      expect(state.incoming.get(1)!.cursor).toBe(firstPrev);
    });
    each('cursors_invalid', 'encodings', ({ encoded, code }) => expectCode(() => startsFrom(encoded), code));
    const open = (log: Case, encoded: Case): number => {
      const from = startsFrom(encoded) as Extract<StartsFrom, { kind: 'cursor' }>;
      const view = { storedHead: log.head, epoch: hex(log.epoch) } as View;
      new History(view, undefined as never, undefined as never, undefined as never).checkCursor(from.epoch, from.seq);
      // Our logs keep all that they had, so this is the rule alone.
      if (from.seq < log.floor) refuse('cursor-too-old');
      return from.seq + 1;
    };
    each('cursors', 'opens', ({ log, encoded, begins }) => expect(open(log, encoded)).toBe(begins));
    each('cursors_invalid', 'opens', ({ log, encoded, code }) => expectCode(() => open(log, encoded), code));
  });

  test('frames', () => {
    const join = (frames: Case[]): Uint8Array | undefined => {
      const assembler = new FrameAssembler();
      let message: Uint8Array | undefined;
      for (const frame of frames) {
        expect(message).toBeUndefined();
        message = assembler.push(bytesOf(frame));
      }
      return message;
    };
    each('noise', 'frames', ({ frames, message }) => expect(Buffer.compare(join(frames)!, bytesOf(message))).toBe(0));
    each('noise_invalid', 'frames', ({ frames, code }) => expectCode(() => join(frames), code));
  });

  test('clock', () => {
    const run = ({ last, steps }: Case): boolean => {
      let clock = { last };
      return steps.every((s: Case) => {
        clock = s.do === 'tick' ? tick(clock, s.now) : observe(clock, s.time, s.now);
        return clock.last === s.last;
      });
    };
    each('clock', 'clocks', (of) => expect(run(of)).toBe(true));
    each('clock_invalid', 'mistakes', (of) => expect(run(of)).toBe(false));
  });

  test('merge', () => {
    const { chains, cases } = file('merge') as unknown as { chains: Record<string, Case>; cases: Case[] };
    const letters = Object.keys(chains).toSorted();
    for (const { name, commits, orders, state, conflicts } of cases) {
      expect(orders.length).toBeGreaterThan(0);
      for (const order of orders) {
        expect({ name, ...merged(commits, order, chains, letters) }).toEqual({ name, state, conflicts });
        // A peer numbers chains in its own way.
        expect(merged(commits, order, chains, letters.toReversed())).toEqual({ state, conflicts });
      }
    }
    each('merge_invalid', 'mistakes', ({ case: of, state }) => {
      expect(cases.find(({ name }) => name === of)!.state).not.toEqual(state);
    });
  });

  test('membership', () => {
    const { chains, founder, cases, forked } = file('membership') as unknown as { chains: Record<string, Case>; founder: string; cases: Case[]; forked: Case[] }; // prettier-ignore
    expect(forked.length).toBeGreaterThan(0);
    for (const { name, commits, orders, forks = null, verdicts, roles, revoked } of [...cases, ...forked]) {
      const pasts = pastsOf(commits);
      const surePasts = forks && pastsOf(commits, forks);
      const lengthOf = (letter: string): number => commits.filter(({ chain }: Case) => chain === letter).length;
      for (const order of orders) {
        const membership = new Membership(hex(founder), factsOf(commits, order, chains, forks));
        const judged = commits.map(({ chain: own, seq, changes }: Case, i: number) => {
          const pastBy = (seen: Map<string, number>) => (chain: string) =>
            chain === chains[own].chain ? seq - 1 : (seen.get(letterOf(chains, chain)) ?? 0);
          const isAllHere = [...pasts[i]!].every(([letter, upTo]) => lengthOf(letter) >= upTo);
          return membership.verdict({
            device: hex(chains[own].device),
            chain: chains[own].chain,
            seq,
            past: pastBy(pasts[i]!),
            surely: surePasts && { past: pastBy(surePasts[i]!), isAllHere },
            membership: changesMembership(changesOf(changes)),
          });
        });
        expect({ name, order, judged }).toEqual({ name, order, judged: verdicts });
        for (const [letter, role] of Object.entries(roles)) expect([name, letter, membership.roleOf(hex(chains[letter].device))]).toEqual([name, letter, role]); // prettier-ignore
        expect([name, membership.revokedDevices().toSorted()]).toEqual([name, revoked.map((letter: string) => chains[letter].device).toSorted()]); // prettier-ignore
      }
    }
  });
});

describe.each([nodeCrypto, portableCrypto])('primitives: $name', (crypto) => {
  test('chains-and-ids', () => {
    each('chains-and-ids', 'spaces', ({ owner, salt, space }) =>
      expect(toHex(spaceId(crypto, hex(owner), hex(salt)))).toBe(space),
    );
    each('chains-and-ids', 'commits', (of) => {
      const keys = crypto.ed25519KeyPair(hex(of.seed));
      expect(toHex(keys.public)).toBe(of.device);
      const key = { space: hex(of.space), device: keys.public, nonce: hex(of.nonce) };
      const hasher = new ChainHasher(crypto, key);
      const { stem, changesHash } = eraseBody(crypto, hex(of.body));
      expect([toHex(stem), toHex(changesHash)]).toEqual([of.stem, of.changesHash]);
      const bodyHash = hashBody(crypto, hex(of.body));
      expect(toHex(bodyHash)).toBe(of.bodyHash);
      expect(toHex(chainId(crypto, key))).toBe(of.chain);
      expect(toHex(hasher.header(of.seq, hex(of.prev), bodyHash))).toBe(of.header);
      expect(toHex(hasher.signedBytes(of.seq, hex(of.prev), bodyHash))).toBe(of.signed);
      expect(toHex(hasher.sign(keys, of.seq, hex(of.prev), bodyHash))).toBe(of.signature);
      expect(toHex(hasher.id(of.seq, hex(of.prev), bodyHash, hex(of.signature)))).toBe(of.id);
    });
    each('chains-and-ids', 'signatures', ({ seed, key, message, signature }) => {
      expect(toHex(crypto.ed25519Sign(crypto.ed25519KeyPair(hex(seed)), hex(message)))).toBe(signature);
      expect(verifyStrict(crypto, hex(key), hex(message), hex(signature))).toBe(true);
    });
    each('chains-and-ids_invalid', 'keys', ({ key }) => expect(checkDeviceKey(hex(key))).toBe(false));
    each('chains-and-ids_invalid', 'signatures', ({ key, message, signature }) => {
      expect(checkDeviceKey(hex(key))).toBe(true);
      expect(verifyStrict(crypto, hex(key), hex(message), hex(signature))).toBe(false);
    });
  });

  test('forks', () => {
    each('forks', 'proofs', ({ space, proof, device, nonce, seq, prev, chain, kept, dropped }) => {
      const fork = readFork(crypto, hex(space), bytesOf(proof));
      const read = [fork.device, fork.nonce, fork.prev, fork.chain, fork.kept, fork.dropped].map((bytes) =>
        toHex(bytes),
      );
      expect([...read, fork.seq]).toEqual([device, nonce, prev, chain, kept, dropped, seq]);
    });
    each('forks_invalid', 'proofs', ({ space, proof, code }) =>
      expectCode(() => readFork(crypto, hex(space), bytesOf(proof)), code),
    );
  });

  test('bodies', () => {
    each('bodies', 'bodies', (of) => {
      const bytes = hex(of.body);
      const body = decodeBody(bytes);
      expect(body.time).toBe(of.time);
      const deps = body.deps.map(({ chain, seq, id }) => (id ? [toHex(chain), seq, toHex(id)] : [toHex(chain), seq]));
      expect(deps).toEqual(of.deps);
      expect(toJson(body.changes.map(({ subject, ops }) => [subject, ops]))).toEqual(of.changes);
      expect(toHex(encodeBody(body)) === of.body).toBe(of.isShortest);
      const erased = eraseBody(crypto, bytes);
      expect([toHex(erased.stem), toHex(erased.changesHash)]).toEqual([of.stem, of.changesHash]);
      expect(toHex(hashBody(crypto, bytes))).toBe(of.bodyHash);
      expect(toHex(hashErased(crypto, { stem: hex(of.stem), changesHash: hex(of.changesHash) }))).toBe(of.bodyHash);
      expect(decodeStem(hex(of.stem))).toEqual({ time: body.time, deps: body.deps });
    });
    each('bodies', 'large', ({ body, bytes, bodyHash }) => {
      expect(bytesOf(body).length).toBe(bytes);
      decodeBody(bytesOf(body));
      expect(toHex(hashBody(crypto, bytesOf(body)))).toBe(bodyHash);
    });
    each('bodies_invalid', 'hashes', ({ body, code }) => expectCode(() => hashBody(crypto, hex(body)), code));
  });

  test('runs', () => {
    each('runs', 'runs', (of) => {
      const { chains, entries } = authenticate(crypto, hex(of.space), decodeBatch(hex(of.batch)));
      expect(
        chains.map(({ id, device, nonce, seqBefore, idBefore }) => ({ chain: toHex(id), device: toHex(device), nonce: toHex(nonce), seqBefore, idBefore: toHex(idBefore) })), // prettier-ignore
      ).toEqual(of.chains);
      expect(
        entries.map((entry) => ({
          chain: chains.indexOf(entry.chain),
          kind: entry.kind,
          seq: entry.seq,
          prev: toHex(entry.prev),
          id: toHex(entry.id),
          ...('bodyHash' in entry && { bodyHash: toHex(entry.bodyHash) }),
        })),
      ).toEqual(of.entries);
    });
    each('runs_invalid', 'runs', ({ space, batch, code }) =>
      expectCode(() => authenticate(crypto, hex(space), decodeBatch(hex(batch))), code),
    );
  });

  test('vectors-and-digests', () => {
    const headsOf = (json: Case[]): ChainHead[] => json.map(({ chain, seq, id }) => ({ chain: hex(chain), seq, id: hex(id) })); // prettier-ignore
    each('vectors-and-digests', 'digests', ({ heads, digest: expected }) =>
      expect(toHex(digest(crypto, headsOf(heads)))).toBe(expected),
    );
    const { heads } = file('vectors-and-digests_invalid');
    each('vectors-and-digests_invalid', 'digests', ({ digest: wrong }) =>
      expect(toHex(digest(crypto, headsOf(heads!)))).not.toBe(wrong),
    );
  });

  const [example] = file('noise')['transcripts']!;
  const side = (of: Case, initiator: boolean, expectedDevice?: Uint8Array): Channel =>
    new Channel({
      initiator,
      crypto,
      random: () => hex(of.ephemeral),
      deviceKeys: crypto.ed25519KeyPair(hex(of.seed)),
      noiseKeys: crypto.x25519KeyPair(hex(of.static)),
      expectedDevices: expectedDevice && [expectedDevice],
    });
  const established = (of: Case): { initiator: Channel; responder: Channel } => {
    const [initiator, responder] = [side(of.initiator, true), side(of.responder, false)];
    expect(toHex(initiator.start()!)).toBe(of.messages[0]);
    expect(responder.receive(hex(of.messages[0])).send.map(toHex)).toEqual([of.messages[1]]);
    expect(initiator.receive(hex(of.messages[1])).send.map(toHex)).toEqual([of.messages[2]]);
    responder.receive(hex(of.messages[2]));
    return { initiator, responder };
  };

  test('noise', () => {
    each('noise', 'transcripts', (of) => {
      for (const name of ['initiator', 'responder']) {
        expect(toHex(crypto.x25519KeyPair(hex(of[name].static)).public)).toBe(of[name].staticPublic);
        expect(toHex(crypto.x25519KeyPair(hex(of[name].ephemeral)).public)).toBe(of[name].ephemeralPublic);
        const [key, signature] = [hex(of[name].binding).slice(0, 32), hex(of[name].binding).slice(32)];
        expect(toHex(key)).toBe(of[name].device);
        expect(verifyStrict(crypto, key, concat(utf8('tidelog/1 noise'), hex(of[name].staticPublic)), signature)).toBe(true); // prettier-ignore
      }
      const { initiator, responder } = established(of);
      for (const [one, other] of [[initiator, of.responder], [responder, of.initiator]] as const) {
        expect(toHex(one.handshakeHash)).toBe(of.handshakeHash);
        expect(toHex(one.remoteDevice)).toBe(other.device);
      } // prettier-ignore
      expect(pairDigits(crypto, initiator.handshakeHash)).toBe(of.digits);
      for (const { from, sealed, message } of of.frames) {
        const { message: read } = (from === 'initiator' ? responder : initiator).receive(hex(sealed));
        expect(read === undefined ? null : toHex(read)).toBe(message);
      }
      // What a side makes by itself: messages in one frame.
      const again = established(of);
      const firsts = [of.frames[0], of.frames[1]] as Case[];
      for (const { from, message, sealed } of firsts) {
        const channel = from === 'initiator' ? again.initiator : again.responder;
        expect(channel.seal(hex(message)).map(toHex)).toEqual([sealed]);
      }
    });
  });

  test('noise that was tampered with', () => {
    each('noise_invalid', 'handshakes', ({ at, received, expectedDevice, code }) => {
      const channel = side(example[at], at === 'initiator', expectedDevice ? hex(expectedDevice) : undefined);
      if (at === 'initiator') channel.start();
      for (const bytes of received.slice(0, -1)) channel.receive(hex(bytes));
      expectCode(() => channel.receive(hex(received.at(-1))), code);
      expectCode(() => channel.receive(hex(received.at(-1))), 'closed');
    });
    each('noise_invalid', 'sealed', ({ frames, code }) => {
      const { responder } = established(example);
      for (const frame of frames.slice(0, -1)) responder.receive(hex(frame));
      expectCode(() => responder.receive(hex(frames.at(-1))), code);
    });
  });

  test('pairing', async () => {
    each('pairing', 'links', ({ link, invite }) => {
      const read = decodePairLink(crypto, link);
      expect(messageJson(read)).toEqual(invite);
      expect(decodePairLink(crypto, encodePairLink(crypto, read satisfies PairInvite))).toEqual(read);
    });
    expect(encodePairLink(crypto, decodePairLink(crypto, file('pairing')['links']![0].link))).toBe(file('pairing')['links']![0].link); // prettier-ignore
    const proofOf = ({ secret, handshakeHash, joiner }: Case): string =>
      toHex(pairProof(crypto, hex(secret), hex(handshakeHash), hex(joiner)));
    each('pairing', 'proofs', (of) => expect(proofOf(of)).toBe(of.proof));
    each('pairing', 'digits', ({ handshakeHash, digits }) => expect(pairDigits(crypto, hex(handshakeHash))).toBe(digits)); // prettier-ignore
    each('pairing', 'syncUrls', ({ base, url }) => expect(syncUrl(base)).toBe(url));
    each('pairing_invalid', 'links', ({ link, code }) => expectCode(() => decodePairLink(crypto, link), code));
    each('pairing_invalid', 'proofs', (of) => expect(proofOf(of)).not.toBe(of.proof));

    const { invite, handshakeHash, joiner, cases } = file('pairing_invalid')['invites'] as unknown as Case;
    for (const { tries } of cases) {
      let nowMs = invite.expiresMs - 600_000;
      const random = [hex(invite.id), hex(invite.secret)];
      const invites = await Invites.open(
        crypto,
        () => random.shift()!,
        new MemoryStore(),
        () => nowMs,
      );
      await invites.create('space', 'writer', 600_000);
      for (const attempt of tries) {
        ({ nowMs } = attempt);
        const redeemed = invites.redeem(hex(attempt.id), hex(attempt.proof), hex(handshakeHash), hex(joiner), 'joiner');
        if (attempt.code === null) await redeemed;
        else await expect(redeemed).rejects.toMatchObject({ code: attempt.code });
      }
    }
  });

  test('logs', () => {
    const take = (view: View, batch: string): void => {
      const admission = admitBatch(view, crypto, authenticate(crypto, view.space, decodeBatch(hex(batch))), 1.8e15);
      expect(admission.entries.every(({ chain }) => view.chains.includes(chain))).toBe(true);
    };
    const viewOf = (space: string): View => new View(crypto, new MemoryStore(), new Uint8Array(32), hex(space), 1);
    const digestOf = (view: View): string =>
      toHex(digest(crypto, view.chains.filter(({ seq }) => seq > 0).map(({ id, seq, head }) => ({ chain: id, seq, id: head })))); // prettier-ignore
    each('membership', 'logs', ({ space, batches, entries, digest: expected }) => {
      const view = viewOf(space);
      for (const batch of batches) take(view, batch);
      expect(digestOf(view)).toBe(expected);
      for (const { chain: hexId, seq, verdict } of entries) {
        const chain = view.chainByHex(hexId)!;
        const membership = hexId === entries[0].chain;
        const past = (other: string): number => other === hexId ? seq - 1 : chain.sawAt(seq, view.chainByHex(other)!.number); // prettier-ignore
        expect(
          view.membership!.verdict({ device: chain.device, chain: hexId, seq, past, surely: null, membership }),
        ).toBe(verdict);
      }
    });
    each('membership_invalid', 'logs', ({ space, holds, batch, code }) => {
      const view = viewOf(space);
      for (const held of holds) take(view, held);
      const before = digestOf(view);
      expectCode(() => take(view, batch), code);
      expect(digestOf(view)).toBe(before);
    });
  });
});

// ---- how the files' JSON becomes what the code takes

function messageJson(value: unknown, key = ''): unknown {
  if (key === 'detail') return toJson(value);
  if (value instanceof Uint8Array) return toHex(value);
  if (Array.isArray(value)) return value.map((item) => messageJson(item));
  if (value !== null && typeof value === 'object')
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, messageJson(item, name)]));
  return value;
}

/** What makes a session say this message. */
function said(message: Message, known: boolean): SessionEvent {
  switch (message.type) {
    case 'HELLO':
      return { type: 'start', known, greeting: message, nowMs: 0 };
    case 'SUBSCRIBE_ALL':
      return { type: 'subscribe', request: { ...message, filter: null }, nowMs: 0 };
    case 'BATCH':
      return { type: 'read', subscription: message.subscription, batch: message, digest: null, nowMs: 0 };
    default:
      throw new Error(`${message.type}: no case says it`);
  }
}

/** Before the first BATCH of a subscription, the sender has found where it begins. */
function accepted(state: SessionState, message: Message): SessionState {
  if (message.type !== 'BATCH') return state;
  const { subscription, prev } = message as BatchMessage;
  return step(state, { type: 'accepted', subscription, position: prev, nowMs: 0 })[0];
}

function letterOf(chains: Record<string, Case>, chain: string): string {
  return Object.keys(chains).find((letter) => chains[letter].chain === chain) ?? '';
}

/** What each commit's author had seen of other chains: by its own deps, and those of earlier commits of its chain. Past a fork: what it surely had. */
function pastsOf(commits: Case[], forks: Record<string, number> | null = null): Map<string, number>[] {
  return commits.map(({ chain, seq }) => {
    const past = new Map<string, number>();
    for (const { chain: of, seq: at, deps } of commits) {
      if (of !== chain || at > seq) continue;
      for (const [other, named, byId] of deps) {
        const seen = byId ? named : Math.min(named, (forks?.[other] ?? Number.POSITIVE_INFINITY) - 1);
        past.set(other, Math.max(past.get(other) ?? 0, seen));
      }
    }
    return past;
  });
}

function factsOf(
  commits: Case[],
  order: number[],
  chains: Record<string, Case>,
  forks: Record<string, number> | null,
): Fact[] {
  const byId = (seen: Map<string, number>): Map<string, number> =>
    new Map([...seen].map(([letter, seq]) => [chains[letter].chain as string, seq]));
  const pasts = pastsOf(commits).map(byId);
  const surePasts = forks && pastsOf(commits, forks).map(byId);
  return order.flatMap((i) => {
    const { chain, seq, time, changes } = commits[i];
    const sure = surePasts?.[i] ?? null;
    const place = { chain: chains[chain].chain, seq, author: chains[chain].device, time, past: pasts[i]!, sure };
    return readFacts(changesOf(changes)).map((statement) => ({ ...place, ...statement }));
  });
}

function merged(
  commits: Case[],
  order: number[],
  chains: Record<string, Case>,
  numbering: string[],
): { state: unknown; conflicts: unknown } {
  // prettier-ignore
  const pasts = pastsOf(commits);
  const authorOf = (i: number): Author => ({
    chain: numbering.indexOf(commits[i].chain),
    seq: commits[i].seq,
    time: commits[i].time,
    past: (chain) => numbering[chain] === commits[i].chain ? commits[i].seq - 1 : (pasts[i]!.get(numbering[chain]!) ?? 0), // prettier-ignore
    rankOf: (chain) => hex(chains[numbering[chain]!].device + chains[numbering[chain]!].chain),
  });
  const resources = new Map<string, Resource>();
  for (const [at, i] of order.entries()) {
    for (const { subject, ops } of changesOf(commits[i].changes)) {
      try {
        resources.set(subject, apply(resources.get(subject) ?? EMPTY_RESOURCE, ops, authorOf(i)));
      } catch (thrown) {
        if (!(thrown instanceof SplitTally)) throw thrown;
        let replayed = EMPTY_RESOURCE;
        for (const earlier of order.slice(0, at + 1)) {
          for (const change of changesOf(commits[earlier].changes))
            if (change.subject === subject) replayed = applyUnfolded(replayed, change.ops, authorOf(earlier));
        }
        resources.set(subject, fold(replayed));
      }
    }
  }
  const shown = [...resources].filter(([, resource]) => resource.size > 0);
  const state = Object.fromEntries(shown.map(([subject, resource]) => [subject, toJson(resourceValue(resource))]));
  const conflicts = shown.flatMap(([subject, resource]) => {
    const found = resourceConflicts(resource);
    return found.size === 0 ? [] : [[subject, Object.fromEntries([...found].map(([name, alternatives]) => [name, alternatives.map(({ value }) => toJson(value))]))] as const]; // prettier-ignore
  });
  return { state, conflicts: Object.fromEntries(conflicts) };
}

// ---- nothing is left out

/** Codes that can come over the wire, and that bytes alone cannot provoke. */
const NO_VECTOR: Partial<Record<ErrorCode, string>> = {
  'device-revoked': 'who is revoked is a question to a whole peer: membership.json has when',
  timeout: 'it takes a clock',
  'self-connect': 'it takes two ends with one key: an address that leads back',
  'shutting-down': 'a node that stops says it, whatever came',
  internal: 'a fault of the peer itself',
  'wrong-space': 'a joiner says it, when PAIRED names another space than the link: it takes a conversation',
  'unknown-space': 'it takes a peer that lacks the space',
  'bad-request': 'it takes a sender that cannot serve what was asked, a filter say',
  'pairing-rejected': 'it takes a person',
  'pairing-pending': 'it takes a person who has not answered yet',
};
const IN_UNSUBSCRIBED = new Set(['cursor-epoch', 'cursor-too-old', 'cursor-too-new', 'unknown-space', 'bad-request']);

test('every code that can come over the wire has a vector, or a reason for none', () => {
  const found = new Set<string>();
  const collect = (value: Case): void => {
    if (typeof value !== 'object' || value === null) return;
    if (typeof value.code === 'string') found.add(value.code);
    for (const item of Object.values(value)) collect(item);
  };
  for (const name of readdirSync(folder)) if (name.endsWith('_invalid.json')) collect(file(name.replace('.json', '')));
  const wire = Object.entries(ERRORS).flatMap(([code, { close }]) => close !== null || IN_UNSUBSCRIBED.has(code) || code === 'pairing-pending' ? [code] : []); // prettier-ignore
  const missing = wire.filter((code) => !found.has(code));
  expect(missing.toSorted()).toEqual(Object.keys(NO_VECTOR).toSorted());
  expect([...found].filter((code) => !(code in ERRORS))).toEqual([]);
});

test('scripts/vectors.ts makes these files, and no others are here', () => {
  const made = vectorFiles();
  for (const [name, text] of made) expect(readFileSync(new URL(name, folder), 'utf8') === text, name).toBe(true);
  expect(readdirSync(folder).toSorted()).toEqual([...made.keys(), 'README.md'].toSorted());
});
