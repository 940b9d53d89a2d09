import { expect, test } from 'vitest';
import { asTidelogError, ERRORS, isErrorCode, TidelogError, type ErrorCode } from '../../protocol/errors.ts';
import { isName } from '../../protocol/value.ts';
import { errorOf, faultOf } from '../../protocol/messages.ts';

const rows = Object.entries(ERRORS);

test.each(rows)('%s', (code, { close, sentence }) => {
  // A code travels as a name does.
  expect(code).toMatch(/^[a-z]+(-[a-z]+)*$/);
  expect(isName(code)).toBe(true);
  expect(sentence).toMatch(/^[A-Z].*[.?]$/);
  expect(sentence).not.toMatch(/\s\s|\n|undefined|TODO/);
  expect(sentence.length).toBeLessThan(200);
  // What RFC 6455 leaves to applications.
  if (close !== null) expect(Math.floor(close / 1000)).toBe(4);
});

test('what a disk refuses says what to do', () => {
  for (const code of ['store-full', 'store-failed', 'data-damaged'] as const)
    expect(ERRORS[code].sentence, code).toMatch(/try again|restore/);
});

test('no close code stands for two things', () => {
  const codes = rows.flatMap(([, { close }]) => (close === null ? [] : [close]));
  expect(new Set(codes).size).toBe(codes.length);
  expect(codes.length).toBeGreaterThan(20);
});

test('what ends a subscription or is an answer to a person closes nothing', () => {
  for (const code of ['cursor-epoch', 'cursor-too-old', 'cursor-too-new', 'unknown-space', 'not-found', 'bad-link'])
    expect([code, ERRORS[code as ErrorCode].close]).toEqual([code, null]);
});

test('trying again helps where time alone can change the answer', () => {
  for (const code of [
    'fork',
    'timeout',
    'shutting-down',
    'cursor-epoch',
    'cursor-too-old',
    'pairing-pending',
    'data-in-use',
  ])
    expect([code, ERRORS[code as ErrorCode].retry]).toEqual([code, true]);
  for (const code of [
    'not-paired',
    'device-revoked',
    'bad-signature',
    'bad-fork',
    'invite-used',
    'unsupported-version',
  ])
    expect([code, ERRORS[code as ErrorCode].retry]).toEqual([code, false]);
});

test('an error has the sentence, then what is particular', () => {
  const { sentence } = ERRORS['bad-subject'];
  const error = new TidelogError('bad-subject', 'it is empty', { line: 3 });
  expect(error.message).toBe(`${sentence} (it is empty)`);
  expect(error).toMatchObject({ name: 'TidelogError', code: 'bad-subject', retry: false, detail: { line: 3 } });
  expect(new TidelogError('bad-subject').message).toBe(sentence);
  expect(error).toBeInstanceOf(Error);
});

test('codes are those of the table and nothing that every object has', () => {
  expect(isErrorCode('fork')).toBe(true);
  for (const text of ['toString', '__proto__', 'constructor', '', 'Fork']) expect(isErrorCode(text)).toBe(false);
});

test('a stranger becomes internal and keeps its cause', () => {
  const cause = new RangeError('out of range');
  expect(asTidelogError(cause)).toMatchObject({ code: 'internal', cause });
  expect(asTidelogError('text').message).toContain('text');
  expect(asTidelogError(undefined).code).toBe('internal');
  const own = new TidelogError('fork');
  expect(asTidelogError(own)).toBe(own);
});

test('a fault that travelled is the same error, and says where it came from', () => {
  const error = new TidelogError('cursor-too-new', 'the head is 7', { head: 7 });
  const back = errorOf(faultOf(error, 500));
  expect(back).toMatchObject({ code: 'cursor-too-new', retry: true, detail: { head: 7, remote: true } });
  expect(back.message).toContain('the other side says');
  expect(faultOf(error, 500)).toMatchObject({ afterMs: 500, retry: true, detail: { head: 7 } });
  const unknown = errorOf({ code: 'from-the-future', retry: true, afterMs: 0, text: 'Hm.', detail: {} });
  expect(unknown.code).toBe('internal');
  expect(unknown.message).toContain('from-the-future');
});
