/** A short flood of each kind. How long the honest ones waited is for `npm run flood` to show; here it counts that they lost nothing, and the node no ground. */
import { expect, test } from 'vitest';

import { ATTACKS } from './attacks.ts';
import { runFlood } from './flood.ts';
import { complaints } from './report.ts';

test.skipIf(process.platform !== 'linux')(
  'whatever one attacker does, what honest devices write arrives, memory is bounded, and nothing of it is in the log',
  { timeout: 900_000 },
  async () => {
    const attacks = Object.keys(ATTACKS);
    const report = await runFlood({ attacks, ms: 1000, commits: 3000 });
    expect(report.attacks.map(({ attack }) => attack)).toEqual(attacks);
    expect(report.honest.written).toBeGreaterThan(attacks.length);
    expect(report.honest.received).toBe(report.honest.written);
    expect(complaints(report)).toEqual([]);
  },
);
