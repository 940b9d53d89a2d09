/** Data: what there is, by prefix and by search, and one resource beside it. */
import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';

import { useApp } from '../hooks.ts';
import { Empty } from '../parts.tsx';
import { linkTo } from '../route.ts';
import { NewResource } from './new-resource.tsx';
import { ResourceList } from './resource-list.tsx';
import { ResourceView } from './resource.tsx';

export function DataView({ subject }: { subject: string | null }): JSX.Element {
  const { status } = useApp();
  const [isNew, setNew] = useState(false);
  // Who goes to one that is there has left the form for a new one.
  useEffect(() => {
    if (subject !== null) setNew(false);
  }, [subject]);
  // The list says what to do then.
  const isEmpty = status === null || status.spaces.every(({ subjects }) => subjects === 0);
  return (
    <div class={subject === null && !isNew ? 'split' : 'split has-item'}>
      <section class="list-side" aria-label="Resources">
        <div class="head">
          {subject === null && !isNew ? <h1 tabIndex={-1}>Data</h1> : <p class="h1-like">Data</p>}
          <button
            type="button"
            onClick={() => {
              setNew(true);
              window.location.hash = linkTo('data');
            }}
          >
            New resource
          </button>
        </div>
        <ResourceList chosen={subject} />
      </section>
      <section class="item-side" aria-label="Resource">
        {isNew && subject === null ? (
          <NewResource onClose={() => setNew(false)} />
        ) : subject === null && isEmpty ? null : subject === null ? (
          <Empty title="Nothing chosen">Choose a resource from the list to see its properties and its history.</Empty>
        ) : (
          <ResourceView key={subject} subject={subject} />
        )}
      </section>
    </div>
  );
}
