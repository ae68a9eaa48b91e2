// Numbers as people read and write them.
import { expect, test } from 'vitest';

import { countOf, duration } from '../src/numbers';

test('no minute has sixty seconds', () => {
  expect([0, 840, 9_949, 9_950, 59_499, 59_500, 59_999, 60_000, 119_499, 119_700, 3_600_000].map(duration)).toEqual([
    '0.0 s', '0.8 s', '9.9 s', '10 s', '59 s', '1 min 0 s', '1 min 0 s', '1 min 0 s', '1 min 59 s', '2 min 0 s', '60 min 0 s',
  ]);
});

test('a count is a whole number above 0, however it is written', () => {
  expect(['3', ' 40 ', '1e3', '100.0'].map(countOf)).toEqual([3, 40, 1000, 100]);
  for (const text of ['', ' ', '0', '-1', '0.5', '1e', 'x', '1e400', 'NaN', '3 4']) expect(countOf(text), text).toBeNull();
});
