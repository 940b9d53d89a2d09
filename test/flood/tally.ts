/** What an attacker sent, and what the node did about it. */
export interface TallyReport {
  /** Messages, frames, requests or connections: what the attack counts. */
  readonly sent: number;
  readonly bytes: number;
  /** What the node answered or ended with → how often. */
  readonly answers: Readonly<Record<string, number>>;
}

export class Tally {
  #sent = 0;
  #bytes = 0;
  readonly #answers: Record<string, number> = {};

  sent(bytes: number, count = 1): void {
    this.#sent += count;
    this.#bytes += bytes;
  }

  note(answer: string): void {
    this.#answers[answer] = (this.#answers[answer] ?? 0) + 1;
  }

  has(answer: string): boolean {
    return this.#answers[answer] !== undefined;
  }

  report(): TallyReport {
    return { sent: this.#sent, bytes: this.#bytes, answers: { ...this.#answers } };
  }
}
