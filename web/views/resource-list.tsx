/** The list of resources: by prefix and by a part of the subject, as far as a person has asked for more. */
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';

import { useApp, useLive, useLoaded, useSettled } from '../hooks.ts';
import { Empty, Field, Loading, Problem, TextField } from '../parts.tsx';
import { linkTo } from '../route.ts';
import type { ListedResource, Page, Source } from '../source.ts';
import { brief, cut, number, plural } from '../words.ts';
import { Prefixes } from './prefixes.tsx';

interface Wanted {
  readonly prefix: string;
  readonly contains: string;
  readonly pages: number;
}

const EVERYTHING: Wanted = { prefix: '', contains: '', pages: 1 };

export function ResourceList({ chosen }: { chosen: string | null }): JSX.Element {
  const { source, current } = useApp();
  const [wanted, setWanted] = useState(EVERYTHING);
  const { prefix, contains } = wanted;
  const { value: list, error, reload } = useLoaded(() => firstPages(source, wanted), [wanted]);
  useLive(useSettled(reload));
  const setPrefix = (text: string): void => setWanted({ prefix: text, contains, pages: 1 });
  const setContains = (text: string): void => setWanted({ prefix, contains: text, pages: 1 });

  const { items = [], next = null } = list ?? {};
  const isFiltered = prefix !== '' || contains !== '';
  return (
    <>
      <div class="filters two">
        <Field label="Search subjects">
          {(ids) => (
            <input
              {...ids}
              type="search"
              value={contains}
              onInput={(event) => setContains(event.currentTarget.value)}
            />
          )}
        </Field>
        <TextField label="Begins with" value={prefix} placeholder="note/" onText={setPrefix} />
      </div>
      <Prefixes prefix={prefix} contains={contains} onPrefix={setPrefix} />
      {error !== null && <Problem onRetry={reload}>{error}</Problem>}
      {list === undefined && error === null && <Loading rows={8} what="resources" />}
      {list && items.length === 0 && (
        <Empty title={isFiltered ? 'Nothing found' : 'No data yet'}>
          {isFiltered ? (
            <button type="button" onClick={() => setWanted(EVERYTHING)}>
              Show everything
            </button>
          ) : (
            <p>
              Make the first resource with the button above, or <code>tidelog set note/1 title=Milk</code>. Data of
              other devices comes once they are {source.node ? <a href={linkTo('pair')}>paired</a> : 'connected'}.
            </p>
          )}
        </Empty>
      )}
      {items.length > 0 && (
        <>
          <p class="hint" role="status">
            {howMany(items.length, current?.subjects ?? null, isFiltered, next !== null)}
          </p>
          <ul class="resources">
            {items.map(({ subject, properties }) => (
              <li key={subject}>
                <a href={linkTo('data', subject)} aria-current={subject === chosen ? 'true' : undefined}>
                  <span class="subject">{subject}</span>
                  <span class="preview">{preview(properties)}</span>
                </a>
              </li>
            ))}
          </ul>
        </>
      )}
      {list && next !== null && (
        <button
          type="button"
          disabled={list.pages < wanted.pages && error === null}
          onClick={() => setWanted({ prefix, contains, pages: list.pages + 1 })}
        >
          Show more
        </button>
      )}
    </>
  );
}

/** All anew each time: where something was written or deleted, later pages begin elsewhere. */
async function firstPages(
  source: Source,
  { prefix, contains, pages }: Wanted,
): Promise<Page<ListedResource> & { readonly pages: number }> {
  const items: ListedResource[] = [];
  let next: string | null = null;
  for (let page = 0; page < pages && (page === 0 || next !== null); page++) {
    const found: Page<ListedResource> = await source.resources({
      prefix,
      contains,
      ...(next !== null && { after: next }),
    });
    items.push(...found.items);
    next = found.next;
  }
  return { items, next, pages };
}

/** `all`: in the space; null where that isn't known yet. */
function howMany(shown: number, all: number | null, isFiltered: boolean, isMore: boolean): string {
  if (!isMore && !isFiltered) return plural(shown, 'resource');
  if (!isMore) return `${number(shown)} shown${all === null ? '' : ` of ${number(all)}`}`;
  if (all === null) return `${number(shown)} shown, and there are more`;
  return `The first ${number(shown)}${isFiltered ? ' that match,' : ''} of ${number(all)} resources`;
}

function preview(properties: ListedResource['properties']): string {
  const text = Object.entries(properties)
    .map(([name, value]) => `${name}: ${brief(value)}`)
    .join(' · ');
  return cut(text, 200);
}
