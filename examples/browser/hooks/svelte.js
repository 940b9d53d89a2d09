// Svelte's store contract, which is `subscribe` as Tidelog has it: `const note = resource(db, 'note/1')`, and then `$note` in a component.

/** A resource and whatever becomes of it: undefined until it is read, null where there is none. */
export const resource = (db, subject) => store(() => db.live(subject));

/** The resources with a prefix; undefined until they are read. */
export const resources = (db, prefix, limit = 1000) => store(() => db.liveList({ prefix, limit }));

/** Open as long as a component shows it. */
const store = (begin) => ({
  subscribe(show) {
    const live = begin();
    if (live.value === undefined) show(undefined);
    live.subscribe(show);
    return () => live.close();
  },
});
