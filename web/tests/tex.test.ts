// Formulas are drawn as MathML, and as nothing that could do more than be seen.
import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import { drawFormula, formulas, loadTemml } from '../src/tex.svelte';

/** As much of an element as Temml uses. */
class FakeElement {
  attributes = new Map<string, string>();
  children: (FakeElement | string)[] = [];
  style = {};
  constructor(readonly tagName: string) {}
  setAttribute = (name: string, value: unknown) => void this.attributes.set(name, String(value));
  appendChild = (child: FakeElement | string) => void this.children.push(child);
  replaceChildren = () => void (this.children = []);
  set className(names: string) {
    if (names) this.attributes.set('class', names);
  }
  set textContent(_: string) {
    this.children = [];
  }
  get tags(): string[] {
    return [this.tagName, ...this.children.flatMap((child) => (typeof child === 'string' ? [] : child.tags))];
  }
  get names(): string[] {
    return [...this.attributes.keys(), ...this.children.flatMap((child) => (typeof child === 'string' ? [] : child.names))];
  }
  get text(): string {
    return this.children.map((child) => (typeof child === 'string' ? child : child.text)).join('');
  }
}

beforeEach(async () => {
  vi.stubGlobal('document', {
    compatMode: 'CSS1Compat',
    createElement: (name: string) => new FakeElement(name),
    createElementNS: (_: string, name: string) => new FakeElement(name),
    createTextNode: (text: string) => text,
    createDocumentFragment: () => new FakeElement('#fragment'),
  });
  await loadTemml();
  expect(formulas.canBeDrawn).toBe(true);
});
afterEach(() => vi.unstubAllGlobals());

function draw(formula: string, display = false): { drawn: boolean; place: FakeElement } {
  const place = new FakeElement('span');
  return { drawn: drawFormula(formula, display, place as unknown as HTMLElement), place };
}

test('a fraction is a fraction', () => {
  const { drawn, place } = draw('\\frac{1}{2}');
  expect([drawn, place.tags]).toEqual([true, ['span', 'math', 'mfrac', 'mn', 'mn']]);
  expect(draw('\\boxed{14}', true).drawn).toBe(true);
  expect(draw('\\begin{aligned}a &= 1\\\\ b &= 2\\end{aligned}', true).place.tags).toContain('mtable');
});

test('what is no TeX leaves no trace', () => {
  for (const formula of ['\\frac{1}', '}', '\\nosuchcommand', '{'.repeat(1900), '\\begin{array}']) {
    const { drawn, place } = draw(formula);
    expect([drawn, place.children], formula.slice(0, 30)).toEqual([false, []]);
  }
});

test.each([
  '\\href{javascript:alert(1)}{x}', '\\href{https://x.example}{x}', '\\url{https://x.example}', '\\includegraphics{https://x.example/x.png}',
  '\\class{banner}{x}', '\\id{app}{x}', '\\style{position:fixed}{x}', '\\data{x=1}{x}', '\\htmlId{app}{x}', '\\label{app}', '\\begin{align}x\\label{app}\\end{align}',
  '\\ref{app}', '\\text{<img src=x onerror=alert(1)>}', '<script>alert(1)</script>',
])('%s makes no link, image, id or handler', (formula) => {
  const { place } = draw(formula, true);
  for (const tag of place.tags.slice(1)) expect(tag).toMatch(/^(#fragment|math|m[a-z]+|semantics)$/);
  for (const name of place.names) expect(name).not.toMatch(/^(on|id$|href$|src$|style$|data)/);
  expect(place.attributes.size).toBe(0);
});

test('what the page has no styles for is not drawn, or it would look like something else', () => {
  for (const formula of ['\\cancelto{0}{x}', '\\phase{x}', '\\textcircled{a}', '\\angl{n}']) expect(draw(formula).drawn, formula).toBe(false);
  for (const formula of ['\\cancel{x}', '\\angle', '\\overline{AB}']) expect(draw(formula).drawn, formula).toBe(true);
});

test('macros are not defined, and so cannot multiply or last', () => {
  for (const formula of ['\\def\\a{xx}\\a', '\\gdef\\frac{x}', '\\newcommand{\\a}{x}\\a', '\\let\\a=b', '\\global\\def\\a{x}']) expect(draw(formula).drawn, formula).toBe(false);
  expect(draw('\\left( a \\right) \\leq \\text{let}').drawn).toBe(true);
});

test('2000 characters are drawn at once', () => {
  for (const piece of ['x^2+', '\\frac1', '{x}_', '\\sqrt{', '\\cdots', 'a\\\\', '\\left(']) {
    const begun = performance.now();
    draw(piece.repeat(2000 / piece.length));
    expect(performance.now() - begun, piece).toBeLessThan(500);
  }
});
