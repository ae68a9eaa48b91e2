// Text can be read in both themes: the contrast of WCAG 2.1, computed from the colours of app.css.
import { describe, expect, test } from 'vitest';

import css from '../src/app.css?raw';

type Rgb = [number, number, number];

/** The variables of one rule, by name. */
function variablesOf(selector: string): Map<string, string> {
  const begin = css.indexOf(`${selector} {`);
  const body = css.slice(begin, css.indexOf('}', begin));
  return new Map(Array.from(body.matchAll(/--([\w-]+):\s*([^;]+);/g), (match) => [match[1]!, match[2]!]));
}

function parsed(colour: string): { rgb: Rgb; alpha: number } {
  const hex = /^#([0-9a-f]{6})$/.exec(colour);
  if (hex) return { rgb: [0, 2, 4].map((at) => parseInt(hex[1]!.slice(at, at + 2), 16)) as Rgb, alpha: 1 };
  const numbers = colour.match(/[\d.]+/g)!.map(Number);
  return { rgb: numbers.slice(0, 3) as Rgb, alpha: numbers[3] ?? 1 };
}

function over(top: { rgb: Rgb; alpha: number }, ground: Rgb): Rgb {
  return top.rgb.map((value, i) => value * top.alpha + ground[i]! * (1 - top.alpha)) as Rgb;
}

function luminance(rgb: Rgb): number {
  const [r, g, b] = rgb.map((value) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  }) as Rgb;
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(a: Rgb, b: Rgb): number {
  const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x) as [number, number];
  return (high + 0.05) / (low + 0.05);
}

const kTheme = { dark: ':root', light: ":root[data-theme='light']" };

describe.each(Object.keys(kTheme) as (keyof typeof kTheme)[])('In the %s theme', (theme) => {
  const variables = variablesOf(kTheme[theme]);
  const colour = (name: string) => parsed(variables.get(name)!);
  const grounds = { top: colour('water-top').rgb, water: colour('water').rgb, dialog: colour('panel-solid').rgb };

  test.each(['text', 'text-soft', 'text-faint', 'accent', 'danger'])('%s reads well on every ground (4.5)', (name) => {
    for (const [ground, rgb] of Object.entries(grounds)) {
      expect(contrast(colour(name).rgb, rgb), ground).toBeGreaterThan(4.5);
      expect(contrast(colour(name).rgb, over(colour('panel'), rgb)), `panel over ${ground}`).toBeGreaterThan(4.5);
    }
  });

  test.each([['text', 'bubble'], ['accent-ink', 'accent']])('%s reads well on %s', (ink, ground) => {
    expect(contrast(colour(ink).rgb, colour(ground).rgb)).toBeGreaterThan(4.5);
  });

  test.each([['accent', 'accent-wash'], ['danger', 'danger-wash'], ['text', 'code'], ['text-faint', 'code']])('%s reads well on its %s', (ink, wash) => {
    for (const [ground, rgb] of Object.entries(grounds)) expect(contrast(colour(ink).rgb, over(colour(wash), rgb)), ground).toBeGreaterThan(4.5);
  });
});

test('before the script has run, a light system gets the ground and the text of the light theme', () => {
  const early = variablesOf(':root:not([data-theme])');
  const light = variablesOf(kTheme.light);
  for (const name of ['water', 'water-top', 'glow', 'text']) expect(early.get(name), name).toBe(light.get(name));
  for (const [name, value] of early) expect(value, name).toBe(light.get(name));
  expect(css).toMatch(/@media \(prefers-color-scheme: light\) \{\s*:root:not\(\[data-theme\]\) \{\s*color-scheme: light;/);
});

test('black on white is 21, as WCAG has it', () => {
  expect(contrast([0, 0, 0], [255, 255, 255])).toBeCloseTo(21, 5);
  expect(contrast([118, 118, 118], [255, 255, 255])).toBeCloseTo(4.54, 2);
});
