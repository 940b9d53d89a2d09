import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bloomMayHold, makeBloom } from '../../../client/replica/bloom.ts';

describe('the filter over a block’s subjects', () => {
  test('never misses a subject that is there', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'grapheme', minLength: 1 }), { maxLength: 60 }), (subjects) => {
        const bloom = makeBloom(subjects);
        return subjects.every((subject) => bloomMayHold(bloom, subject));
      }),
    );
  });

  test('seldom finds one that is not there', () => {
    const bloom = makeBloom([...Array(500).keys()].map((i) => `note/${i}`));
    let found = 0;
    for (let i = 0; i < 10_000; i++) if (bloomMayHold(bloom, `task/${i}`)) found++;
    expect(found).toBeLessThan(300);
  });
});
