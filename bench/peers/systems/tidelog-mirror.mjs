/** Tidelog, the receiver a mirror: the log alone, which a reader there reads. */
import * as full from './tidelog.mjs';

export const { versions } = full;
/** As it is run here. */
export const does = { ...full.does, keeps: 'log' };

export class Sender extends full.Sender {
  role = 'mirror';
}

export class Receiver extends full.Receiver {
  /** Of the log's commits, which are one to a record, and those of the space itself. */
  has() {
    return this.space.stats().commits;
  }
  async follow(address, count, seen) {
    await this.catchUp(address);
    const before = this.space.stats().commits;
    this.onAppended = () => seen(count + this.space.stats().commits - before);
  }
}
