/** Cold sync of an empty full node where a commit holds 100 resources, as an import makes them. */
import type { Row } from '../lab.ts';
import { median } from '../support.ts';

export const PER_COMMIT = 100;

export const packedRow: Row = {
  name: 'packed',
  async run(lab) {
    const { packed } = lab.sizes;
    const resources = packed * PER_COMMIT;
    const { received, recordsPerSecond } = await lab.coldSync({ commits: packed, perCommit: PER_COMMIT });
    return [
      {
        what: `cold sync, ${packed.toLocaleString('en')} × ${PER_COMMIT} resources`,
        value: median(received.map(({ seconds }) => resources / seconds)),
        unit: 'resources/s',
        better: 'more',
        target: 500_000,
        floor: { what: 'plain lmdb, same run', value: recordsPerSecond },
      },
    ];
  },
};
