// A reader who scrolls up is let go, by the smallest step and while text grows; one who reaches the end is taken along.
import { expect, test } from 'vitest';

import { followsAfterScroll, type ScrollPosition } from '../src/follow';

const kShown = 400;
const kAt = (top: number, height = 1000): ScrollPosition => ({ top, height, shown: kShown });

test('a small step up is enough, also while the text grows', () => {
  expect(followsAfterScroll(true, kAt(600), kAt(570))).toBe(false);
  expect(followsAfterScroll(true, kAt(600), kAt(597))).toBe(false);
  expect(followsAfterScroll(true, kAt(600), kAt(592, 1030))).toBe(false);
});

test('text that grows or shrinks lets nobody go', () => {
  expect(followsAfterScroll(true, kAt(600), kAt(600, 1030))).toBe(true);
  expect(followsAfterScroll(true, kAt(600), kAt(300, 700)), 'the reasoning was folded').toBe(true);
  expect(followsAfterScroll(true, kAt(600), { top: 560, height: 1000, shown: 440 }), 'the window grew').toBe(true);
});

test('on the way down the reader stays free until the end, which may be a pixel away', () => {
  expect(followsAfterScroll(false, kAt(300), kAt(500))).toBe(false);
  expect(followsAfterScroll(false, kAt(300), kAt(597))).toBe(false);
  for (const top of [598, 598.5, 599, 600]) expect(followsAfterScroll(false, kAt(300), kAt(top)), `${top}`).toBe(true);
  expect(followsAfterScroll(true, kAt(300), kAt(500)), 'a smooth scroll to the end that is under way').toBe(true);
});
