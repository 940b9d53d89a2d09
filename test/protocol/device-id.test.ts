import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { equal, utf8 } from '../../protocol/bytes.ts';
import { formatDeviceId, parseDeviceId, shortDeviceId } from '../../protocol/device-id.ts';
import { TidelogError } from '../../protocol/errors.ts';

/** From Syncthing's own tests (lib/protocol/deviceid_test.go), which gives the ID but not the key. */
const SYNCTHING_ID = 'P56IOI7-MZJNU2Y-IQGDREY-DM2MGTI-MGL3BXN-PQ6W5BM-TBBZ4TJ-XZWICQ2';
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

const refused = (text: string): TidelogError => {
  try {
    parseDeviceId(text);
  } catch (error) {
    expect(error).toBeInstanceOf(TidelogError);
    expect((error as TidelogError).code).toBe('bad-device-id');
    return error as TidelogError;
  }
  throw new Error(`was taken: ${text}`);
};
const replaceAt = (text: string, at: number, character: string): string =>
  text.slice(0, at) + character + text.slice(at + 1);

const key = fc.uint8Array({ minLength: 32, maxLength: 32 });

describe('writing', () => {
  test('the form', () => {
    expect(formatDeviceId(new Uint8Array(32))).toBe(Array.from({ length: 8 }, () => 'AAAAAAA').join('-'));
    expect(formatDeviceId(utf8('abcdefghijklmnopqrstuvwxyz012345'))).toBe(
      'MFRGGZD-FMZTWQY-2LKNNWG-23TPOBJ-YXE43UO-V3HO6DI-ZPIYDCM-RTGQ2QG',
    );
    expect(formatDeviceId(new Uint8Array(32).fill(0xff))).toBe(
      '7777777-777777N-7777777-777777N-7777777-777777N-7777777-77777Q4',
    );
  });

  test('the check characters are those of Syncthing', () => {
    expect(formatDeviceId(parseDeviceId(SYNCTHING_ID))).toBe(SYNCTHING_ID);
  });

  test('the short form is the first group', () => {
    expect(shortDeviceId(parseDeviceId(SYNCTHING_ID))).toBe('P56IOI7');
  });

  test('a key of another length is a fault', () => {
    expect(() => formatDeviceId(new Uint8Array(31))).toThrow(expect.objectContaining({ code: 'bad-key' }));
  });
});

describe('reading', () => {
  test.each([
    ['lower case', SYNCTHING_ID.toLowerCase()],
    ['no dashes', SYNCTHING_ID.replaceAll('-', '')],
    ['spaces, tabs and lines', `  ${SYNCTHING_ID.replaceAll('-', ' \t\r\n')}\u00a0`],
    ['dashes of word processors', SYNCTHING_ID.replaceAll('-', ' – ').replace('–', '—')],
    ['other groups', SYNCTHING_ID.replaceAll('-', '').replaceAll(/(.{4})/g, '$1-')],
    ['digits for letters', SYNCTHING_ID.replaceAll('O', '0').replaceAll('I', '1').replaceAll('B', '8')],
  ])('%s', (_, text) => {
    expect(formatDeviceId(parseDeviceId(text))).toBe(SYNCTHING_ID);
  });

  test('what was written is read', () => {
    fc.assert(fc.property(key, (bytes) => equal(parseDeviceId(formatDeviceId(bytes)), bytes)));
  });

  test('one wrong character anywhere is found, and its two groups are named', () => {
    for (let at = 0; at < SYNCTHING_ID.length; at++) {
      if (SYNCTHING_ID[at] === '-') continue;
      const first = 2 * Math.floor(at / 16) + 1;
      for (const character of ALPHABET) {
        if (character === SYNCTHING_ID[at]) continue;
        const { message, detail } = refused(replaceAt(SYNCTHING_ID, at, character));
        expect(message).toContain(`there is a typo in group ${first} or ${first + 1})`);
        expect(detail).toEqual({ groups: [first, first + 1] });
      }
    }
  });

  test('two typos', () => {
    const { message, detail } = refused(replaceAt(replaceAt(SYNCTHING_ID, 0, 'Q'), 40, 'A'));
    expect(message).toContain('there is a typo in group 1 or 2, and one in group 5 or 6');
    expect(detail).toEqual({ groups: [1, 2, 5, 6] });
  });

  test.each([
    ['P56IOI9-MZJNU2Y-IQGDREY-DM2MGTI-MGL3BXN-PQ6W5BM-TBBZ4TJ-XZWICQ2', '"9" in group 1', [1]],
    ['P56IOI7-MZJNU2Y-IQGDREY-DM2MGTI-MGL3BXN-PQ6W5BM-TBBZ4TJ-XZWICQ!', '"!" in group 8', [8]],
    ['P56IOI7-MZJNU2Y-IQGDREY-DM2MGTI-MGL3BXN-PQ6W5BM-TBBZ4T😀-XZWICQ2', '"😀" in group 7', [7]],
    // Upper-cased these would be ASCII; they are refused before anything is upper-cased.
    ['P56ıOI7-MZJNU2Y-IQGDREY-DM2MGTI-MGL3BXN-PQ6W5BM-TBBZ4TJ-XZWICQ2', '"ı" in group 1', [1]],
  ])('a character that is none: %s', (text, particular, groups) => {
    const { message, detail } = refused(text);
    expect(message).toContain(particular);
    expect(detail).toEqual({ groups });
  });

  test.each([
    ['', 'it has 0 letters', []],
    ['P56IOI7', 'it has 7 letters', []],
    [SYNCTHING_ID.replaceAll('-', '').slice(1), 'it has 55 letters and digits; a whole one has 56)', []],
    [`${SYNCTHING_ID}-A`, 'it has 57 letters', []],
    [SYNCTHING_ID.replace('DM2MGTI', 'DMMGTI'), '7 in each group: look at group 4', [4]],
    [SYNCTHING_ID.replace('P56', 'P556').replace('CQ2', 'CQ22'), '7 in each group: look at group 1, 8', [1, 8]],
  ])('a wrong length: %s', (text, particular, groups) => {
    const { message, detail } = refused(text);
    expect(message).toContain(particular);
    expect(detail).toEqual({ groups });
  });

  test('bits that are left over must be zero, so that a key has one text', () => {
    // The last 13 characters with one such bit set, and a check character to match.
    const zeros = formatDeviceId(new Uint8Array(32));
    let taken = 0;
    for (const last of ALPHABET) {
      for (const check of ALPHABET) {
        const text = replaceAt(replaceAt(zeros, zeros.length - 2, last), zeros.length - 1, check);
        try {
          const bytes = parseDeviceId(text);
          expect(formatDeviceId(bytes)).toBe(text);
          taken++;
        } catch (error) {
          expect((error as TidelogError).message).toMatch(/typo in group 7 or 8|group 8 ends in bits/);
        }
      }
    }
    // The one bit that is the key's, 0 or 1.
    expect(taken).toBe(2);
  });

  test('any text gives a key or bad-device-id', () => {
    const nearly = fc
      .array(fc.constantFrom(...ALPHABET, ...'018- a\u00df9'), { maxLength: 80 })
      .map((parts) => parts.join(''));
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: 'binary' }), nearly), (text) => {
        try {
          return parseDeviceId(text).length === 32;
        } catch (error) {
          return error instanceof TidelogError && error.code === 'bad-device-id';
        }
      }),
      { numRuns: 1000 },
    );
  });
});
