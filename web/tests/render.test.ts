// What a model writes stays text: Message.svelte itself is rendered here, with the worst that a model could write.
import { render } from 'svelte/server';
import { describe, expect, test } from 'vitest';

import type { Turn } from '../src/chat.svelte';
import Message from '../src/Message.svelte';

function turnWith(fields: Partial<Turn>): Turn {
  return {
    id: 1, role: 'assistant', text: '', reasoning: '', state: 'done', error: '',
    startedAt: 0, thoughtMs: 0, totalMs: 0, stats: null, ...fields,
  };
}

function htmlOf(fields: Partial<Turn>): string {
  return render(Message, { props: { turn: turnWith(fields), last: true, onagain: () => {} } }).body.replaceAll(/<!--.*?-->/g, '');
}

const kAttacks = [
  '<script>alert(1)</script>', '<img src=x onerror=alert(1)>', '<svg/onload=alert(1)>', '<b>bold</b>', '<!-- ', ']]>',
  '<iframe srcdoc="<script>alert(1)</script>">', '"><script>alert(1)</script>', "' onmouseover='alert(1)", '{@html "<b>x</b>"}',
  '<a href="javascript:alert(1)">x</a>', '</article></body><h1>', '&lt;script&gt;', '&#60;script&#62;', '<style>*{display:none}</style>',
];
// Each of them in every place that Markdown has for text.
const kPlaces: ((attack: string) => string)[] = [
  (a) => a, (a) => `**${a}**`, (a) => `*${a}*`, (a) => `\`${a}\``, (a) => `# ${a}`, (a) => `- ${a}`, (a) => `> ${a}`,
  (a) => `\\(${a}\\)`, (a) => `$${a}$`, (a) => `***${a}***`, (a) => `**\`${a}\` [${a}](https://x.example)**`,
  (a) => `\`\`\`${a}\n${a}\n\`\`\``, (a) => `| ${a} | b |\n|---|---|\n| ${a} | ${a} |`, (a) => `[${a}](https://x.example)`,
  (a) => `[x](https://x.example/${a.replaceAll(/[\s()]/g, '')})`,
];

/** The tags of some HTML by the browser's own rules for what begins one, with their attributes' names. */
function tagsOf(html: string): { name: string; attributes: string[]; href: string | undefined }[] {
  return Array.from(html.matchAll(/<([a-zA-Z][^\s/>]*)((?:[^>"']|"[^"]*"|'[^']*')*)>/g), ([, name, rest]) => {
    const attributes = Array.from(rest!.matchAll(/([^\s="'/]+)(?:=("[^"]*"|'[^']*'|[^\s"'>]+))?/g));
    return { name: name!, attributes: attributes.map((match) => match[1]!), href: attributes.find((match) => match[1] === 'href')?.[2] };
  });
}

const kOwnTags = new Set([
  'article', 'details', 'summary', 'div', 'p', 'span', 'b', 'i', 'button', 'svg', 'path', 'rect', 'code', 'strong', 'em', 'a', 'pre',
  'blockquote', 'ul', 'ol', 'li', 'table', 'thead', 'tbody', 'tr', 'th', 'td', 'hr', 'h2', 'h3',
]);

describe('Message', () => {
  test.each(kAttacks)('%s makes no element and no attribute anywhere', (attack) => {
    for (const place of kPlaces) {
      const harmless = tagsOf(htmlOf({ text: place('x'), reasoning: 'x' }));
      const hostile = tagsOf(htmlOf({ text: place(attack), reasoning: attack }));
      for (const tag of hostile) {
        expect(kOwnTags, place(attack)).toContain(tag.name);
        expect(tag.attributes.filter((name) => name.startsWith('on')), place(attack)).toEqual([]);
        if (tag.href) expect(tag.href, place(attack)).toMatch(/^"https:\/\/x\.example/);
      }
      expect(hostile.filter((tag) => ['b', 'script', 'img', 'iframe', 'style'].includes(tag.name)).length, place(attack)).toBe(
        harmless.filter((tag) => tag.name === 'b').length,
      );
    }
  });

  test('this test sees tags and attributes when there are some', () => {
    expect(tagsOf('<p><img src=x onerror="a>b"><a href="javascript:x">')).toEqual([
      { name: 'p', attributes: [], href: undefined },
      { name: 'img', attributes: ['src', 'onerror'], href: undefined },
      { name: 'a', attributes: ['href'], href: '"javascript:x"' },
    ]);
  });

  test('questions and errors are text too', () => {
    expect(htmlOf({ role: 'user', text: '<b>x</b>' })).toContain('&lt;b>x&lt;/b>');
    expect(htmlOf({ state: 'failed', error: '<b>x</b>' })).toContain('&lt;b>x&lt;/b>');
  });

  test('links tell where they lead, and tell the other side nothing', () => {
    const html = htmlOf({ text: '[safe bank](https://evil.example/)' });
    expect(html).toMatch(/<a href="https:\/\/evil\.example\/" title="https:\/\/evil\.example\/" target="_blank" rel="noopener noreferrer nofollow"/);
  });

  test('nothing stands between the parts of a sentence', () => {
    const html = htmlOf({ text: '(**12**+`7`)=*19*.' });
    expect(html.replaceAll(/<[^>]*>/g, '').trim()).toMatch(/^\(12\+7\)=19\.(\s|$)/);
  });

  test('reasoning is folded under its time once the answer has begun, and open while it streams', () => {
    const folded = htmlOf({ reasoning: 'hm', text: '14', state: 'answering', thoughtMs: 800 });
    expect(folded).toContain('Thought for 0.8 s');
    expect(folded).toMatch(/<details class="[^"]*">/);
    expect(htmlOf({ reasoning: 'hm', state: 'reasoning' })).toMatch(/<details[^>]* open/);
  });

  test('reasoning has an element for each paragraph', () => {
    expect(htmlOf({ reasoning: ' a\n b\n\n\nc\n' })).toMatch(/<p[^>]*>a\n b<\/p><p[^>]*>c<\/p>/);
  });

  test('a question that later requests leave out is marked', () => {
    for (const state of ['failed', 'stopped', 'cut', 'done'] as const) expect(htmlOf({ state }), state).toContain('sent without this one');
    expect(htmlOf({ state: 'stopped', text: 'half' })).not.toContain('sent without this one');
    expect(htmlOf({ state: 'waiting' })).not.toContain('sent without this one');
  });

  test('an answer that came back says why', () => {
    expect(htmlOf({ text: '14', error: 'The server is away.' })).toMatch(/14.*role="alert"[^>]*>The server is away\./s);
  });

  test('formulas are there as they were written until they are drawn', () => {
    expect(htmlOf({ text: 'So \\(a*b*c < 1\\).' })).toMatch(/So <code class="tex[^>]*>\\\(a\*b\*c &lt; 1\\\)<\/code>/);
  });

  test('tokens per second are shown', () => {
    const stats = { promptTokens: 9, cachedTokens: 0, completionTokens: 101, reasoningTokens: 50, decodeMs: 2000 };
    expect(htmlOf({ text: '14', stats, totalMs: 2500 }).replaceAll(/<[^>]*>/g, '')).toContain('50 tokens/s101 tokens2.5 s');
  });
});

describe('The sources', () => {
  const sources = import.meta.glob<string>('../src/*', { query: '?raw', import: 'default', eager: true });

  test('have no way around the escaping', () => {
    expect(Object.keys(sources).length).toBeGreaterThan(10);
    for (const [path, text] of Object.entries(sources))
      for (const way of ['{@html', 'innerHTML', 'outerHTML', 'insertAdjacentHTML', 'document.write', 'eval(', 'new Function', 'srcdoc'])
        expect(text.includes(way), `${path}: ${way}`).toBe(false);
  });

  test('name no other machine', () => {
    for (const [path, text] of Object.entries(sources)) expect(text.match(/["'`(](https?:)?\/\/[a-z]/i), path).toBeNull();
  });
});
