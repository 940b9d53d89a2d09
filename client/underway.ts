/** Writes that aren't on the disk yet, by what they change: who reads a subject after having written it reads what it wrote. */

/** From so many changes on, the subjects of a write are looked up in its own set: two steps in one large map for each cost more. */
const LARGE_WRITE_CHANGES = 8;

interface LargeWrite {
  readonly subjects: ReadonlySet<string>;
  readonly settled: Promise<void>;
}

export class Underway {
  /** Subject → small writes to it. Not only the last: one that is refused settles before what came ahead of it. */
  readonly #small = new Map<string, Promise<void>>();
  readonly #large = new Set<LargeWrite>();

  /** Until `write` settles, whichever way. */
  add(subjects: ReadonlySet<string>, write: Promise<unknown>): void {
    const settled: Promise<void> = write.then(
      () => {},
      () => {},
    );
    if (subjects.size >= LARGE_WRITE_CHANGES) {
      const large = { subjects, settled };
      this.#large.add(large);
      void settled.then(() => this.#large.delete(large));
      return;
    }
    for (const subject of subjects) {
      const before = this.#small.get(subject);
      const all = before ? before.then(() => settled) : settled;
      this.#small.set(subject, all);
      void all.then(() => {
        if (this.#small.get(subject) === all) this.#small.delete(subject);
      });
    }
  }

  /** Resolves when no write to the subject is under way that was begun before; undefined where none is. */
  on(subject: string): Promise<unknown> | undefined {
    const small = this.#small.get(subject);
    const all = small ? [small] : [];
    for (const { subjects, settled } of this.#large) if (subjects.has(subject)) all.push(settled);
    return all.length > 1 ? Promise.all(all) : all[0];
  }
}
