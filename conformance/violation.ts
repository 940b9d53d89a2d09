/** What an implementation did that the protocol doesn't allow, or didn't do that it asks for. It fails a case and nothing else. */
export class Violation extends Error {}

/** It ended the connection where something was awaited on it. */
export class Ended extends Violation {
  /** Of the WebSocket. */
  readonly code: number;

  constructor(code: number, saw: string) {
    super(saw);
    this.code = code;
  }
}

/** A case that can't be tried on this implementation, and why. */
export class Skip extends Error {}

export function expect(holds: unknown, saw: string): asserts holds {
  if (!holds) throw new Violation(saw);
}
