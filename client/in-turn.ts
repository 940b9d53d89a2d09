/** Steps that are done one after the other, in the order in which they were asked for, whatever becomes of those before. */
export class InTurn {
  #last: Promise<void> = Promise.resolve();

  /** Settles as `step` does. */
  run<T>(step: () => Promise<T>): Promise<T> {
    const done = this.#last.then(step);
    this.#last = done.then(
      () => {},
      () => {},
    );
    return done;
  }

  /** Resolves when all that was asked for until now is done. */
  settled(): Promise<void> {
    return this.#last;
  }
}
