/**
 * Any peers, any writes, any lines between them, a device revoked in the middle: at the end all hold the same commits, show the same
 * data, and hold the state that their own log gives again. A failure prints the seed and the shortest story that fast-check found.
 */
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import type { Change } from '../../protocol/body.ts';
import { dump, eventuallySame, Network, pair, type Member } from '../support/network.ts';
import { contents } from '../support/stores.ts';

const networks: Network[] = [];
afterEach(async () => {
  for (const network of networks.splice(0)) await network.close();
});

const property = fc.constantFrom('a', 'b', 'c');
const value = fc.constantFrom<(string | number | boolean)[]>('x', 'y', 1, 2, true);
const ops = fc
  .record({
    destroy: fc.option(fc.constant(true as const), { freq: 5, nil: undefined }),
    kinds: fc.uniqueArray(
      fc.tuple(
        property,
        fc.constantFrom('set', 'unset', 'inc', 'add', 'remove'),
        value,
        fc.integer({ min: -3, max: 3 }),
      ),
      {
        selector: ([name]) => name,
        minLength: 1,
        maxLength: 3,
      },
    ),
  })
  .map(({ destroy, kinds }): Change['ops'] => {
    const named = <T>(
      kind: string,
      operand: (v: string | number | boolean, n: number) => T,
    ): Record<string, T> | undefined => {
      const entries = kinds.filter(([, each]) => each === kind).map(([name, , v, n]) => [name, operand(v, n)] as const);
      return entries.length > 0 ? Object.fromEntries(entries) : undefined;
    };
    const unset = kinds.filter(([, kind]) => kind === 'unset').map(([name]) => name);
    const all = {
      destroy,
      set: named('set', (v) => v),
      unset: unset.length > 0 ? unset : undefined,
      inc: named('inc', (_, n) => n),
      add: named('add', (v) => [v]),
      remove: named('remove', (v) => [v]),
    };
    return Object.fromEntries(Object.entries(all).filter(([, operand]) => operand !== undefined));
  });
const changes = fc.uniqueArray(fc.record({ subject: fc.constantFrom('s', 't', 'u'), ops }), {
  selector: ({ subject }) => subject,
  minLength: 1,
  maxLength: 2,
});

type Step =
  | { readonly do: 'write'; readonly who: number; readonly changes: readonly Change[]; readonly times: number }
  | { readonly do: 'connect'; readonly who: number; readonly to: number }
  | { readonly do: 'cut' }
  | { readonly do: 'turns'; readonly count: number }
  | { readonly do: 'revoke' };

const who = fc.nat(3);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ do: fc.constant('write' as const), who, changes, times: fc.constantFrom(1, 1, 1, 3, 40) }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('connect' as const), who, to: who }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('turns' as const), count: fc.nat(12) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('cut' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('revoke' as const) }) },
);

/** Four members of one space, none connected. The last is the one that is revoked. */
async function fourMembers(network: Network): Promise<Member[]> {
  const members = [await network.add('owner')];
  await members[0]!.peer.homeSpace();
  for (const [i, role] of (['owner', 'writer', 'writer'] as const).entries()) {
    const member = await network.add(`member-${i}`);
    members.push(member);
    await pair(members[0]!, member, role);
  }
  await eventuallySame(members);
  network.cut();
  return members;
}

async function connect(from: Member, to: Member): Promise<void> {
  if (from !== to) await from.peer.connect(to.url).catch(() => {});
}

async function run(network: Network, members: readonly Member[], steps: readonly Step[]): Promise<boolean> {
  let isRevoked = false;
  for (const each of steps) {
    const member = 'who' in each ? members[each.who]! : null;
    switch (each.do) {
      case 'write': {
        const writes = [...Array(each.times).keys()].map(() => member!.peer.space().commit(each.changes).stored);
        // A device that has heard of its revocation may not write.
        await Promise.allSettled(writes);
        break;
      }
      case 'connect':
        await connect(member!, members[each.to]!);
        break;
      case 'cut':
        network.cut();
        break;
      case 'turns':
        for (let i = 0; i < each.count; i++) await new Promise((resolve) => setImmediate(resolve));
        break;
      case 'revoke':
        if (!isRevoked) await members[0]!.peer.revokeDevice(members[0]!.peer.space(), members.at(-1)!.peer.id);
        isRevoked = true;
        break;
    }
  }
  return isRevoked;
}

async function expectAgreement(members: readonly Member[]): Promise<void> {
  const lines = await dump(members[0]!.peer);
  for (const { peer, store } of members) {
    const space = peer.space();
    expect(await dump(peer), peer.name).toEqual(lines);
    // The audit finds nothing, which is worth something only because audit.test.ts sees it find what is planted.
    const { findings, notes, head } = await space.audit();
    expect({ findings, notes, head }, peer.name).toEqual({ findings: [], notes: [], head: space.head });
    const before = { state: await contents(store, 'state', 'conflicts'), stats: space.stats() };
    await space.rebuild();
    expect(await contents(store, 'state', 'conflicts'), peer.name).toEqual(before.state);
    expect(space.stats(), peer.name).toEqual(before.stats);
    expect(before.stats.holes, peer.name).toBe(0);
  }
}

describe('convergence', () => {
  test('of any story', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
        const network = new Network();
        networks.push(network);
        const members = await fourMembers(network);
        const isRevoked = await run(network, members, steps);
        const standing = isRevoked ? members.slice(0, -1) : members;
        network.cut();
        for (const [i, member] of standing.entries()) if (i > 0) await connect(member, standing[i - 1]!);
        await eventuallySame(standing);
        await expectAgreement(standing);
        await network.close();
      }),
      { numRuns: Number(process.env['TIDELOG_TEST_RUNS'] ?? 40) },
    );
  });
});
