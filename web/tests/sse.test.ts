// Events however their bytes are cut: a network does not respect characters, lines or events.
import { describe, expect, test } from 'vitest';

import { SseParser } from '../src/sse';

const kEncoder = new TextEncoder();

function eventsOf(...pieces: (string | Uint8Array)[]): string[] {
  const parser = new SseParser();
  return pieces.flatMap((piece) => parser.push(typeof piece === 'string' ? kEncoder.encode(piece) : piece));
}

describe('SseParser', () => {
  test('an event is given when its blank line comes, and not before', () => {
    expect(eventsOf('data: a\n')).toEqual([]);
    expect(eventsOf('data: a\n', '\n')).toEqual(['a']);
    expect(eventsOf('data: a\n\ndata: b\n\ndata: c')).toEqual(['a', 'b']);
  });

  test('every cut of a stream gives the same events', () => {
    const stream = ': keep-alive\n\ndata: {"text":"tiefe See, 深海 🐟"}\r\n\r\ndata: two\rdata: lines\r\rid: 7\ndata:[DONE]\n\n';
    const whole = ['{"text":"tiefe See, 深海 🐟"}', 'two\nlines', '[DONE]'];
    const bytes = kEncoder.encode(stream);
    expect(eventsOf(bytes)).toEqual(whole);
    for (let cut = 1; cut < bytes.length; cut++)
      expect(eventsOf(bytes.subarray(0, cut), bytes.subarray(cut)), `cut at byte ${cut}`).toEqual(whole);
    expect(eventsOf(...Array.from(bytes, (byte) => new Uint8Array([byte]))), 'byte by byte').toEqual(whole);
  });

  test('one blank after the colon is no data, a second one is', () => {
    expect(eventsOf('data:a\n\ndata: a\n\ndata:  a\n\n')).toEqual(['a', 'a', ' a']);
  });

  test('comments, other fields and empty events carry nothing', () => {
    expect(eventsOf(': hello\n\nevent: x\nid: 1\nretry: 5\n\n\n\ndatum: no\n\ndata\n\n')).toEqual([]);
  });
});
