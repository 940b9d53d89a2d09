/**
 * What authors say of the branches of forked chains, gathered anew from the log: an id in a commit's deps means nothing to who takes it in before it has heard of
 * the fork, and what a fact had seen is noted with it as far as anybody asked then. Without forks there is nothing to do.
 */
import { decodeKnownBody, decodeStem } from '../../protocol/body.ts';
import type { GroupContext } from './context.ts';
import { KnowledgeWalk } from './knowledge.ts';
import { encodeFact, positionKey } from '../tables.ts';
import { BRANCH, type PlacedFact, type View } from './view.ts';

/** The members are judged by it at once; sweeping is the caller's. Which ids stand here must be loaded. May be done again. */
export async function relearn({ view, store, log }: Pick<GroupContext, 'view' | 'store' | 'log'>): Promise<void> {
  if (view.forks.isEmpty) return;
  const walk = new KnowledgeWalk(view);
  for await (const entry of log.after(0)) {
    if (entry.kind === 'erased') walk.learn(entry, decodeStem(entry.stem).deps);
    if (entry.kind === 'commit') walk.learn(entry, decodeKnownBody(entry.body).deps);
  }
  const facts = view.facts.map((fact) => ({ ...fact, past: pastOf(view, walk, fact) }));
  const ops = facts.map((fact) => ({
    table: 'facts' as const,
    key: positionKey(view.number, fact.position),
    value: encodeFact(fact),
  }));
  await store.write([...walk.takeOps(), ...ops]);
  for (const chain of view.chains) chain.knows = null;
  view.facts = facts;
  view.judge();
}

function pastOf(view: View, walk: KnowledgeWalk, { chain, seq, past }: PlacedFact): [number, number][] {
  const saw = walk.saw({ chain: view.chains[chain]!, seq });
  const forked = [...view.forks.chains].flatMap((hex) => view.chainByHex(hex)?.number ?? []);
  const asked = new Set([...past.map(([other]) => other), ...forked, ...forked.map((other) => other + BRANCH)]);
  return [...asked].flatMap((other) => (other !== chain && saw(other) > 0 ? [[other, saw(other)]] : []));
}
