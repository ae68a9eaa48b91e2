// What becomes of the text of a model: the tree that Message.svelte shows.
import { describe, expect, test } from 'vitest';

import { parseInline, parseMarkdown, type Block, type Inline } from '../src/markdown';

const kText = (text: string): Inline => ({ kind: 'text', text });
const kStrong = (...inlines: Inline[]): Inline => ({ kind: 'strong', inlines });
const kEm = (...inlines: Inline[]): Inline => ({ kind: 'em', inlines });
const kCode = (text: string): Inline => ({ kind: 'code', text });
const kParagraph = (text: string): Block => ({ kind: 'paragraph', inlines: [kText(text)] });

/** Every link of a tree, however deep. */
function linksOf(tree: unknown): string[] {
  if (Array.isArray(tree)) return tree.flatMap(linksOf);
  if (typeof tree !== 'object' || tree === null) return [];
  const own = 'href' in tree ? [String(tree.href)] : [];
  return [...own, ...Object.values(tree).flatMap(linksOf)];
}

/** Every character that a reader sees. */
function textOf(tree: unknown): string {
  if (Array.isArray(tree)) return tree.map(textOf).join('');
  if (typeof tree !== 'object' || tree === null) return '';
  if ('text' in tree) return String(tree.text);
  return Object.values(tree).map(textOf).join('');
}

describe('parseInline', () => {
  test('code, strong, emphasis and links', () => {
    expect(parseInline('a `b*c*` **d e** *f* [g](https://h.example/i?j=1#k).')).toEqual([
      kText('a '),
      { kind: 'code', text: 'b*c*' },
      kText(' '),
      kStrong(kText('d e')),
      kText(' '),
      kEm(kText('f')),
      kText(' '),
      { kind: 'link', text: 'g', href: 'https://h.example/i?j=1#k' },
      kText('.'),
    ]);
  });

  test('strong and emphasis hold code, links and each other', () => {
    expect(parseInline('**`f()`**')).toEqual([kStrong(kCode('f()'))]);
    expect(parseInline('**[a](https://b.c)**')).toEqual([kStrong({ kind: 'link', text: 'a', href: 'https://b.c' })]);
    expect(parseInline('*a `b`*')).toEqual([kEm(kText('a '), kCode('b'))]);
    expect(parseInline('***x***')).toEqual([kStrong(kEm(kText('x')))]);
    expect(parseInline('**a *b***')).toEqual([kStrong(kText('a '), kEm(kText('b')))]);
    expect(parseInline('**a** and **b**')).toEqual([kStrong(kText('a')), kText(' and '), kStrong(kText('b'))]);
  });

  test.each([
    ['\\(x_1*y*z\\)', 'x_1*y*z', false], ['$x^*$', 'x^*', false], ['$\\frac{1}{2}$', '\\frac{1}{2}', false],
    ['\\[ a\n\\\\[2pt] b \\]', ' a\n\\\\[2pt] b ', true], ['$$a_1 + a_2$$', 'a_1 + a_2', true], ['$\\$5$', '\\$5', false],
  ])('%s is a formula, whole and as it was written', (text, formula, display) => {
    expect(parseInline(`It is ${text}.`)).toEqual([kText('It is '), { kind: 'tex', text, formula, display }, kText('.')]);
  });

  test('stars between formulas are no emphasis', () => {
    expect(parseInline('$x^*$ and $y^*$').map((part) => part.kind)).toEqual(['tex', 'text', 'tex']);
    expect(parseInline('**$5*3$**')).toEqual([kStrong({ kind: 'tex', text: '$5*3$', formula: '5*3', display: false })]);
  });

  test('money is no formula', () => {
    for (const text of ['It costs $5 and $6.', '$5-$6', 'US$5, US$6', '$ 5$', '$$', '$$$', '\\$5$', 'a $5 \n and'])
      expect(parseInline(text), text).toEqual([kText(text)]);
    expect(parseInline('$5, or `$x`')).toEqual([kText('$5, or '), kCode('$x')]);
  });

  test('products and powers stay what they are', () => {
    for (const sum of ['2*3*4 = 24', '2 * 3 * 4', '2**3**2 = 512', 'a*b + c*d', '*', '**', '* a *'])
      expect(parseInline(sum), sum).toEqual([kText(sum)]);
  });

  test('an end that has not come yet leaves the text as it is', () => {
    for (const open of ['a `b', 'a **b', 'a *b', 'a [b', 'a [b](https://c', '\\(a', '\\[a', '$$a$', '$a'])
      expect(parseInline(open), open).toEqual([kText(open)]);
  });

  test('double backticks hold single ones', () => {
    expect(parseInline('``a`b``')).toEqual([{ kind: 'code', text: 'a`b' }]);
  });

  test('only http and https are links', () => {
    for (const url of [
      'javascript:alert(1)', 'JavaScript:alert(1)', ' javascript:alert(1)', 'java\tscript:alert(1)', 'data:text/html,x',
      'vbscript:x', 'file:///etc/passwd', 'blob:x', '//evil.example', '/relative', 'https:/x', 'mailto:a@b',
      '&#106;avascript:alert(1)', 'https&colon;//x', '\u0001javascript:x',
    ])
      expect(linksOf(parseInline(`[x](${url})`)), url).toEqual([]);
    expect(linksOf(parseInline('[x](https://a.example)[y](http://b.example)'))).toEqual(['https://a.example', 'http://b.example']);
  });

  test('a link cannot carry a second attribute', () => {
    for (const url of linksOf(parseInline('[x](https://a" onclick="alert(1)) [y](https://b"onmouseover=alert`1`)')))
      expect(new URL(url).protocol, url).toMatch(/^https?:$/); // as one address, whatever is in it
    expect(linksOf(parseInline('[x](https://a" onclick="alert(1))'))).toEqual([]);
  });
});

describe('parseMarkdown', () => {
  test('lines of one paragraph stay together, blank lines part them', () => {
    expect(parseMarkdown('12 + 7 = 19\n19 - 5 = 14\n\nDone.')).toEqual([kParagraph('12 + 7 = 19\n19 - 5 = 14'), kParagraph('Done.')]);
    expect(parseMarkdown('')).toEqual([]);
    expect(parseMarkdown('\n \n\r\n')).toEqual([]);
  });

  test('headings lose their marks', () => {
    expect(parseMarkdown('## A *b* ##')).toEqual([{ kind: 'heading', level: 2, inlines: [kText('A '), kEm(kText('b'))] }]);
    expect(parseMarkdown('#hashtag')).toEqual([kParagraph('#hashtag')]);
  });

  test('a code block is text to its last blank', () => {
    const text = '  **not strong** <b>\n\n# not a heading\n';
    expect(parseMarkdown('```c++ x\n' + text + '\n```\nafter')).toEqual([{ kind: 'code', language: 'c++', text }, kParagraph('after')]);
  });

  test('a code block that still streams runs to the end', () => {
    expect(parseMarkdown('```\na\n- b')).toEqual([{ kind: 'code', language: '', text: 'a\n- b' }]);
    expect(parseMarkdown('```python')).toEqual([{ kind: 'code', language: 'python', text: '' }]);
  });

  test('longer and other fences hold shorter ones', () => {
    expect(parseMarkdown('````\n```\na\n```\n````')).toEqual([{ kind: 'code', language: '', text: '```\na\n```' }]);
    expect(parseMarkdown('~~~\n```\n~~~')).toEqual([{ kind: 'code', language: '', text: '```' }]);
  });

  test('a language is a short word and nothing else', () => {
    expect(parseMarkdown('```<img src=x onerror=alert(1)>\n```')).toEqual([{ kind: 'code', language: '', text: '' }]);
    expect(parseMarkdown(`\`\`\`${'x'.repeat(500)}\n\`\`\``)).toEqual([{ kind: 'code', language: 'x'.repeat(30), text: '' }]);
  });

  test('lists nest, count from where they start, and hold paragraphs', () => {
    expect(parseMarkdown('3. a\n4. b\n   - c\n\n   d')).toEqual([
      {
        kind: 'list',
        ordered: true,
        start: 3,
        items: [[kParagraph('a')], [kParagraph('b'), { kind: 'list', ordered: false, start: 1, items: [[kParagraph('c')]] }, kParagraph('d')]],
      },
    ]);
  });

  test('code in an item may have blank lines, and what comes behind it is no code', () => {
    const code = 'def a():\n    pass\n\n\n\ndef b():\n    pass';
    const lines = ['1. Two:', '', '```python', ...code.split('\n'), '```'];
    const [list, ...rest] = parseMarkdown(`${lines.map((line, i) => (i > 0 && line ? `   ${line}` : line)).join('\n')}\n\n\n2. **Call** them.\n\n\nDone.`);
    expect(list).toEqual({
      kind: 'list',
      ordered: true,
      start: 1,
      items: [
        [kParagraph('Two:'), { kind: 'code', language: 'python', text: code }],
        [{ kind: 'paragraph', inlines: [kStrong(kText('Call')), kText(' them.')] }],
      ],
    });
    expect(rest).toEqual([kParagraph('Done.')]);
  });

  test('a formula of several lines is one, whatever its lines begin with', () => {
    for (const text of ['\\[\na\n- b\n+ c\n# d\n\\]', '$$\n> a\n$$', '\\[ a\n- b \\]'])
      expect(parseMarkdown(`So:\n${text}\n- c`), text).toEqual([
        { kind: 'paragraph', inlines: [kText('So:\n'), { kind: 'tex', text, formula: text.slice(2, -2), display: true }] },
        { kind: 'list', ordered: false, start: 1, items: [[kParagraph('c')]] },
      ]);
    expect(parseMarkdown('\\[\na\n- b').map((block) => block.kind), 'without an end').toEqual(['paragraph', 'list']);
    expect(parseMarkdown('$$\na\n\n- b\n$$').map((block) => block.kind), 'no formula has a blank line').toEqual(['paragraph', 'list', 'paragraph']);
  });

  test('a bar behind a backslash is part of its cell', () => {
    expect(parseMarkdown('| a \\| b | c |\n|---|---|\n| `x\\|y` | z\\|')).toEqual([
      { kind: 'table', head: [[kText('a | b')], [kText('c')]], rows: [[[kCode('x|y')], [kText('z|')]]] },
    ]);
  });

  test('bullets after numbers are a list of their own', () => {
    expect(parseMarkdown('1. a\n- b').map((block) => block.kind)).toEqual(['list', 'list']);
  });

  test('quotes, rules and tables', () => {
    expect(parseMarkdown('> a\n> - b\n\n---\n\n| x | y |\n|---|:-:|\n| 1 | `2` |')).toEqual([
      { kind: 'quote', blocks: [kParagraph('a'), { kind: 'list', ordered: false, start: 1, items: [[kParagraph('b')]] }] },
      { kind: 'rule' },
      { kind: 'table', head: [[kText('x')], [kText('y')]], rows: [[[kText('1')], [{ kind: 'code', text: '2' }]]] },
    ]);
    expect(parseMarkdown('a | b\nno rule')).toEqual([kParagraph('a | b\nno rule')]);
  });

  test('no letter is lost, wherever a stream is cut', () => {
    const text = 'Mia has **14 shells** now.\n\n- She finds 7: `12 + 7 = 19`\n- `19 - 5`\n\n> *so* | it $x < 1$\n\n\\[ y\n= 2 \\]\n\n```\na < b\n```\n[x]y';
    const letters = (from: string): string => from.replace(/[^A-Za-z0-9<=+]/g, '');
    for (let end = 0; end <= text.length; end++)
      expect(letters(textOf(parseMarkdown(text.slice(0, end)))), JSON.stringify(text.slice(0, end))).toBe(letters(text.slice(0, end)));
  });

  test('nesting ends: a hundred quotes are no hundred calls', () => {
    const depth = (blocks: Block[]): number =>
      Math.max(0, ...blocks.map((block) => (block.kind === 'quote' ? 1 + depth(block.blocks) : block.kind === 'list' ? 1 + Math.max(...block.items.map(depth)) : 0)));
    expect(depth(parseMarkdown('>'.repeat(10_000) + ' a'))).toBe(8);
    expect(depth(parseMarkdown('- '.repeat(10_000) + 'a'))).toBe(8);
  });

  // Measured: at most 0.6 s each on two busy cores; with spans of any length, 4 s for strong and 46 s for brackets.
  test.each([
    ['a run of backticks', '`'], ['backticks', '`a'], ['growing backticks', '`` a``` '], ['double backticks', '``a '], ['strong', '**a '], ['emphasis', '*a '], ['stars', '*'], ['brackets', '['],
    ['links', '[a](https://'], ['dollars', '$'], ['money', '$a'],
    ['round formulas', '\\('], ['square formulas', '\\['], ['formula lines', '\\[\n'], ['formula ends', '\\[a\\\\'], ['strong code', '**`a`** '], ['heading blanks', '#  '], ['blanks', ' '], ['fence', '```` '], ['rules', '- -'],
    ['pipes', '| '], ['quotes', '>'], ['items', '- a\n'], ['blank items', '- a\n\n\n'], ['deep items', '  - a\n  '], ['empty lines', '\n'],
  ])('30 kB of %s are read in linear time', (_, piece) => {
    const repeated = piece.repeat(30_000 / piece.length);
    const begun = performance.now();
    for (const text of [repeated, `# ${repeated}x`, `|${repeated}x\n|${repeated}x`, `\`\`\`${repeated}\``, `- ${repeated}`])
      parseMarkdown(text);
    expect(performance.now() - begun).toBeLessThan(2_000);
  });

  // Measured: 4 ms; when each of them may begin the code, 60 s.
  test('a run of backticks is looked at once', () => {
    const begun = performance.now();
    parseMarkdown(`x${'`'.repeat(200_000)}`);
    expect(performance.now() - begun).toBeLessThan(2_000);
  });
});
