// The little of Markdown that answers use, as a tree of plain data.
//
// There is no HTML anywhere on the way: Message.svelte puts each text into the page as text, so
// whatever a model writes stays text. Links are kept for http(s) only. Unfinished input (an
// answer that still streams) is never an error: an open code fence runs to the end.

export type Inline =
  | { kind: 'text' | 'code'; text: string }
  | { kind: 'strong'; inlines: Inline[] }
  | { kind: 'em'; inlines: Inline[] }
  | { kind: 'tex'; text: string; formula: string; display: boolean } // text: as it was written, with its delimiters
  | { kind: 'link'; text: string; href: string };

export type Block =
  | { kind: 'paragraph'; inlines: Inline[] }
  | { kind: 'heading'; level: number; inlines: Inline[] }
  | { kind: 'code'; language: string; text: string }
  | { kind: 'quote'; blocks: Block[] }
  | { kind: 'list'; ordered: boolean; start: number; items: Block[][] }
  | { kind: 'table'; head: Inline[][]; rows: Inline[][][] }
  | { kind: 'rule' };

const kFence = /^ {0,3}(`{3,}|~{3,})([^`]*)$/;
const kHeading = /^(#{1,6})\s+(.*)$/;
const kRule = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/;
const kItem = /^( {0,3})([-*+]|\d{1,9}[.)])(\s+|$)/;
const kQuote = /^ {0,3}> ?/;
const kTableRule = /^\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?$/; // of a trimmed line
// Spans are at most 500 characters long: a search for an end that never comes must not run through the whole text from
// each of its asterisks. An asterisk between letters or digits is a multiplication more often than an emphasis.
// A formula ends its own search where another one begins, so it may be longer; a dollar may also be money.
const kInline = new RegExp(
  [
    /(?<!`)(?<ticks>`+)(?!`)(?<code>[^`]|[^`][\s\S]{0,500}?[^`])\k<ticks>(?!`)/,
    /(?<!\\)\\\((?<round>(?:[^\\]|\\[^()]){1,2000})\\\)/,
    /(?<!\\)\\\[(?<square>(?:[^\\]|\\[^[\]]){1,2000})\\\]/,
    /(?<![\\$])\$\$(?<dollars>(?:[^$\\]|\\[\s\S]){1,2000})\$\$/,
    /(?<![\w\\$])\$(?=[^\s$])(?<dollar>(?:[^$\\`\n]|\\[^\n]){1,500})(?<!\s)\$(?![\d$])/,
    /(?<![\w*])\*\*\*(?=[^\s*])(?<both>[^*]{0,500}?[^\s*])\*\*\*(?![\w*])/,
    /(?<![\w*])\*\*(?=\S)(?<strong>[\s\S]{0,500}?\S)\*\*(?![\w*])/,
    /(?<![\w*])\*(?=[^\s*])(?<em>[^*]{0,500}?[^\s*])\*(?![\w*])/,
    /\[(?<label>[^[\]\n]{1,500})\]\((?<href>https?:\/\/[^\s()]{1,2000})\)/,
  ]
    .map((part) => part.source)
    .join('|'),
  'g',
);
const kFormulaOpen = /^\s*(\\\[|\$\$)/;
const kMaxFormulaLines = 60; // what is longer is read line by line
const kMaxSpanDepth = 2; // strong and emphasis inside each other
const kMaxDepth = 8; // quotes and lists inside each other; deeper is read as text

export function parseInline(text: string, depth = 0): Inline[] {
  const inlines: Inline[] = [];
  let end = 0;
  for (const match of text.matchAll(kInline)) {
    if (match.index > end) inlines.push({ kind: 'text', text: text.slice(end, match.index) });
    inlines.push(spanOf(match[0], match.groups!, depth));
    end = match.index + match[0].length;
  }
  if (end < text.length) inlines.push({ kind: 'text', text: text.slice(end) });
  return inlines;
}

function spanOf(whole: string, groups: Record<string, string | undefined>, depth: number): Inline {
  const { code, round, square, dollars, dollar, both, strong, em, label, href } = groups;
  const inside = (text: string): Inline[] => (depth < kMaxSpanDepth ? parseInline(text, depth + 1) : [{ kind: 'text', text }]);
  if (code !== undefined) return { kind: 'code', text: code };
  const formula = round ?? square ?? dollars ?? dollar;
  if (formula !== undefined) return { kind: 'tex', text: whole, formula, display: (square ?? dollars) !== undefined };
  if (both !== undefined) return { kind: 'strong', inlines: [{ kind: 'em', inlines: inside(both) }] };
  if (strong !== undefined) return { kind: 'strong', inlines: inside(strong) };
  if (em !== undefined) return { kind: 'em', inlines: inside(em) };
  return { kind: 'link', text: label!, href: href! };
}

export function parseMarkdown(text: string, depth = 0): Block[] {
  return new BlockReader(text.split(/\r?\n/), depth).read();
}

function withoutClosingHashes(text: string): string {
  let end = text.trimEnd().length;
  while (text[end - 1] === '#') end--;
  return text.slice(0, end).trimEnd();
}

class BlockReader {
  #at = 0;
  #blocks: Block[] = [];
  #paragraph: string[] = [];

  constructor(
    private readonly lines: string[],
    private readonly depth: number,
  ) {}

  read(): Block[] {
    while (this.#at < this.lines.length) {
      const line = this.lines[this.#at]!;
      const heading = kHeading.exec(line);
      if (line.trim() === '') {
        this.#endParagraph();
        this.#at++;
      } else if (kFence.test(line)) {
        this.#code(kFence.exec(line)!);
      } else if (kFormulaOpen.test(line)) {
        this.#formula(kFormulaOpen.exec(line)![1]!);
      } else if (heading) {
        this.#push({ kind: 'heading', level: heading[1]!.length, inlines: parseInline(withoutClosingHashes(heading[2]!)) });
        this.#at++;
      } else if (kRule.test(line)) {
        this.#push({ kind: 'rule' });
        this.#at++;
      } else if (this.depth < kMaxDepth && kQuote.test(line)) {
        this.#quote();
      } else if (this.depth < kMaxDepth && kItem.test(line)) {
        this.#list();
      } else if (line.includes('|') && kTableRule.test((this.lines[this.#at + 1] ?? '').trim()) && this.#paragraph.length === 0) {
        this.#table();
      } else {
        this.#paragraph.push(line);
        this.#at++;
      }
    }
    this.#endParagraph();
    return this.#blocks;
  }

  #push(block: Block): void {
    this.#endParagraph();
    this.#blocks.push(block);
  }

  #endParagraph(): void {
    if (this.#paragraph.length === 0) return;
    this.#blocks.push({ kind: 'paragraph', inlines: parseInline(this.#paragraph.join('\n')) });
    this.#paragraph = [];
  }

  #code(open: RegExpExecArray): void {
    const fence = open[1]!;
    const text: string[] = [];
    for (this.#at++; this.#at < this.lines.length; this.#at++) {
      const line = this.lines[this.#at]!;
      if (line.trim().startsWith(fence) && line.trim().replaceAll(fence[0]!, '') === '') break;
      text.push(line);
    }
    this.#at++; // the closing fence, if there was one
    this.#push({ kind: 'code', language: /^[\w+#.-]{0,30}/.exec(open[2]!.trim())![0], text: text.join('\n') });
  }

  // A formula over several lines is part of its paragraph: a line of it that begins with a minus is no list.
  #formula(open: string): void {
    const close = open === '$$' ? '$$' : '\\]';
    const last = this.#at + kMaxFormulaLines;
    let end = this.#at;
    let from = this.lines[end]!.indexOf(open) + open.length;
    while (end < last && this.lines[end]?.trim() && !this.lines[end]!.includes(close, from)) {
      end++;
      from = 0;
    }
    if (end === last || !this.lines[end]?.trim()) end = this.#at; // it has no end, or none yet
    this.#paragraph.push(...this.lines.slice(this.#at, end + 1));
    this.#at = end + 1;
  }

  #quote(): void {
    const inner: string[] = [];
    for (; this.#at < this.lines.length && kQuote.test(this.lines[this.#at]!); this.#at++)
      inner.push(this.lines[this.#at]!.replace(kQuote, ''));
    this.#push({ kind: 'quote', blocks: parseMarkdown(inner.join('\n'), this.depth + 1) });
  }

  // An item goes on in lines that are indented, after however many blank ones; blank lines between items do not end the list.
  #list(): void {
    const first = kItem.exec(this.lines[this.#at]!)!;
    const ordered = /\d/.test(first[2]!);
    const items: Block[][] = [];
    while (this.#at < this.lines.length) {
      const open = kItem.exec(this.lines[this.#at]!);
      if (!open || /\d/.test(open[2]!) !== ordered || kRule.test(this.lines[this.#at]!)) break;
      const inner = [this.lines[this.#at]!.slice(open[0].length)];
      for (this.#at++; this.#at < this.lines.length; this.#at++) {
        const next = this.#nextFilled();
        if (!/^\s{2,}\S/.test(this.lines[next] ?? '')) break;
        for (; this.#at < next; this.#at++) inner.push('');
        inner.push(this.lines[next]!.replace(new RegExp(`^\\s{1,${open[0].length}}`), ''));
      }
      items.push(parseMarkdown(inner.join('\n'), this.depth + 1));
      if (kItem.test(this.lines[this.#nextFilled()] ?? '')) this.#at = this.#nextFilled();
    }
    this.#push({ kind: 'list', ordered, start: ordered ? parseInt(first[2]!, 10) : 1, items });
  }

  /** The next line with something on it, from here on. */
  #nextFilled(): number {
    let next = this.#at;
    while (this.lines[next]?.trim() === '') next++;
    return next;
  }

  #table(): void {
    const cells = (line: string): Inline[][] =>
      line.trim().replace(/^\||(?<!\\)\|$/g, '').split(/(?<!\\)\|/).map((cell) => parseInline(cell.trim().replaceAll('\\|', '|')));
    const head = cells(this.lines[this.#at]!);
    const rows: Inline[][][] = [];
    for (this.#at += 2; this.#at < this.lines.length && this.lines[this.#at]!.includes('|'); this.#at++)
      rows.push(cells(this.lines[this.#at]!));
    this.#push({ kind: 'table', head, rows });
  }
}
