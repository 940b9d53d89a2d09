/** A page that shows what the hooks for React give it, with Preact. */
import { h, render, type VNode } from 'preact';
import { useResource, useResources } from '../../../examples/browser/hooks/react.js';
import { open, type Database } from '../../../client/browser.ts';

const db = await open({ name: 'hooks' });
await db.peer.homeSpace();

let opened = 0;
for (const name of ['live', 'liveList'] as const) {
  const begin = db[name].bind(db) as (...args: unknown[]) => { close(): void };
  db[name] = ((...args: unknown[]) => {
    const live = begin(...args);
    const { close } = live;
    opened++;
    live.close = () => {
      opened--;
      close.call(live);
    };
    return live;
  }) as never;
}

function Note({ subject }: { subject: string }): VNode {
  const note = useResource(db, subject);
  const all = useResources(db, 'note/');
  if (note === undefined || all === undefined) return h('p', null, '…');
  return h('p', null, `${note === null ? 'not there' : String(note.value['title'])}, and ${all.length}`);
}

function show(subject: string | null): void {
  render(subject === null ? null : h(Note, { subject }), document.body);
}

Object.defineProperty(globalThis, 'open', { get: () => opened });
Object.assign(globalThis, { db, show } satisfies { db: Database; show: unknown });
show('note/1');
