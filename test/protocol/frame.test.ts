import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { concat, equal } from '../../protocol/bytes.ts';
import { FRAME_PAYLOAD_BYTES, MESSAGE_BYTES_MAX } from '../../protocol/constants.ts';
import { TidelogError } from '../../protocol/errors.ts';
import { FrameAssembler, splitFrames } from '../../protocol/frame.ts';

const LAST = 0;
const MORE = 1;
const frame = (flag: number, ...payload: number[]): Uint8Array => Uint8Array.of(flag, ...payload);
const code = (code: string): unknown => expect.objectContaining({ name: 'TidelogError', code });

describe('splitting', () => {
  test.each([
    [0, [1]],
    [1, [2]],
    [FRAME_PAYLOAD_BYTES, [FRAME_PAYLOAD_BYTES + 1]],
    [FRAME_PAYLOAD_BYTES + 1, [FRAME_PAYLOAD_BYTES + 1, 2]],
    [2 * FRAME_PAYLOAD_BYTES, [FRAME_PAYLOAD_BYTES + 1, FRAME_PAYLOAD_BYTES + 1]],
  ])('%i bytes', (length, frameLengths) => {
    const frames = [...splitFrames(new Uint8Array(length).fill(7))];
    expect(frames.map((each) => each.length)).toEqual(frameLengths);
    expect(frames.map((each) => each[0])).toEqual(
      frameLengths.map((_, i) => (i < frameLengths.length - 1 ? MORE : LAST)),
    );
  });

  test('a message that no receiver would take is not begun', () => {
    expect(() => splitFrames(new Uint8Array(MESSAGE_BYTES_MAX + 1)).next()).toThrow(code('message-too-large'));
  });
});

describe('assembling', () => {
  test('message after message', () => {
    const assembler = new FrameAssembler();
    expect(assembler.push(frame(LAST, 1, 2))).toEqual(Uint8Array.of(1, 2));
    expect(assembler.push(frame(LAST))).toEqual(new Uint8Array(0));
    expect(assembler.push(frame(MORE, 3))).toBeUndefined();
    expect(assembler.push(frame(MORE, 4, 5))).toBeUndefined();
    expect(assembler.push(frame(LAST))).toEqual(Uint8Array.of(3, 4, 5));
    expect(assembler.push(frame(LAST, 6))).toEqual(Uint8Array.of(6));
  });

  test.each([
    ['nothing at all', new Uint8Array(0)],
    ['an unknown flag', frame(2, 1)],
    ['an empty frame that promises more', frame(MORE)],
  ])('%s is a bad-frame', (_, bytes) => {
    expect(() => new FrameAssembler().push(bytes)).toThrow(code('bad-frame'));
  });

  test('the limit is the whole message, to the byte', () => {
    const assembler = new FrameAssembler(5);
    expect(assembler.push(frame(MORE, 1, 2, 3))).toBeUndefined();
    expect(assembler.push(frame(LAST, 4, 5))).toEqual(Uint8Array.of(1, 2, 3, 4, 5));
    expect(() => assembler.push(frame(LAST, 1, 2, 3, 4, 5, 6))).toThrow(code('message-too-large'));
    expect(assembler.push(frame(MORE, 1, 2, 3, 4, 5))).toBeUndefined();
    // Refused at the frame that passes the limit, though more is promised and the end hasn't come.
    expect(() => assembler.push(frame(MORE, 6))).toThrow(code('message-too-large'));
  });

  test('a message in frames of one byte costs memory by its bytes', () => {
    const assembler = new FrameAssembler();
    const length = 100_000;
    for (let i = 0; i < length; i++) expect(assembler.push(frame(MORE, i & 255))).toBeUndefined();
    const message = assembler.push(frame(LAST))!;
    expect(message.length).toBe(length);
    expect(message.every((byte, i) => byte === (i & 255))).toBe(true);
    expect(message.buffer.byteLength).toBeLessThanOrEqual(2 * length);
  });

  test('any division gives the message', () => {
    const parts = fc.array(fc.uint8Array({ minLength: 1, maxLength: 50 }), { maxLength: 20 });
    fc.assert(
      fc.property(parts, fc.uint8Array({ maxLength: 50 }), (more, last) => {
        const assembler = new FrameAssembler();
        for (const part of more) if (assembler.push(frame(MORE, ...part)) !== undefined) return false;
        return equal(assembler.push(frame(LAST, ...last))!, concat(...more, last));
      }),
    );
  });

  test('splitting and assembling is nothing', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: MESSAGE_BYTES_MAX }), fc.nat(255), (length, fill) => {
        const message = new Uint8Array(length).fill(fill);
        const assembler = new FrameAssembler();
        let result: Uint8Array | undefined;
        for (const each of splitFrames(message)) result = assembler.push(each);
        return equal(result!, message);
      }),
      { numRuns: 30 },
    );
  });

  test('any frames give a message, nothing yet, or a TidelogError', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 30 }), (frames) => {
        const assembler = new FrameAssembler(100);
        for (const each of frames) {
          try {
            const message = assembler.push(each);
            if (message !== undefined && message.length > 100) return false;
          } catch (error) {
            if (!(error instanceof TidelogError)) return false;
          }
        }
        return true;
      }),
    );
  });
});
