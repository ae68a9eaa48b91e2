// The little of Markdown that answers use, as a tree of plain data.
//
// There is no HTML anywhere on the way: Message.svelte puts each text into the page as text, so
// whatever a model writes stays text. Links are kept for http(s) only. Unfinished input (an
// answer that still streams) is never an error: an open code fence runs to the end.

export type Inline =
  | { kind: 'text' | 'code' | 'strong' | 'em'; text: string }
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
const kInline =
  /(`+)([^`]|[^`][\s\S]{0,500}?[^`])\1(?!`)|(?<![\w*])\*\*(?=\S)([\s\S]{0,500}?\S)\*\*(?!\w)|(?<![\w*])\*(?=[^\s*])([^*]{0,500}?[^\s*])\*(?![\w*])|\[([^[\]\n]{1,500})\]\((https?:\/\/[^\s()]{1,2000})\)/g;
const kMaxDepth = 8; // quotes and lists inside each other; deeper is read as text

export function parseInline(text: string): Inline[] {
  const inlines: Inline[] = [];
  let end = 0;
  for (const match of text.matchAll(kInline)) {
    if (match.index > end) inlines.push({ kind: 'text', text: text.slice(end, match.index) });
    const [whole, , code, strong, em, label, href] = match;
    if (code !== undefined) inlines.push({ kind: 'code', text: code });
    else if (strong !== undefined) inlines.push({ kind: 'strong', text: strong });
    else if (em !== undefined) inlines.push({ kind: 'em', text: em });
    else if (label !== undefined && href !== undefined) inlines.push({ kind: 'link', text: label, href });
    end = match.index + whole.length;
  }
  if (end < text.length) inlines.push({ kind: 'text', text: text.slice(end) });
  return inlines;
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

  #quote(): void {
    const inner: string[] = [];
    for (; this.#at < this.lines.length && kQuote.test(this.lines[this.#at]!); this.#at++)
      inner.push(this.lines[this.#at]!.replace(kQuote, ''));
    this.#push({ kind: 'quote', blocks: parseMarkdown(inner.join('\n'), this.depth + 1) });
  }

  // An item goes on in lines that are indented; a blank line between items does not end the list.
  #list(): void {
    const first = kItem.exec(this.lines[this.#at]!)!;
    const ordered = /\d/.test(first[2]!);
    const items: Block[][] = [];
    while (this.#at < this.lines.length) {
      const open = kItem.exec(this.lines[this.#at]!);
      if (!open || /\d/.test(open[2]!) !== ordered || kRule.test(this.lines[this.#at]!)) break;
      const inner = [this.lines[this.#at]!.slice(open[0].length)];
      for (this.#at++; this.#at < this.lines.length; this.#at++) {
        const line = this.lines[this.#at]!;
        const nextIndented = /^\s{2,}\S/.test(this.lines[this.#at + 1] ?? '');
        if (/^\s{2,}\S/.test(line)) inner.push(line.replace(new RegExp(`^\\s{1,${open[0].length}}`), ''));
        else if (line.trim() === '' && nextIndented) inner.push('');
        else break;
      }
      items.push(parseMarkdown(inner.join('\n'), this.depth + 1));
      if (this.lines[this.#at]?.trim() === '' && kItem.test(this.lines[this.#at + 1] ?? '')) this.#at++;
    }
    this.#push({ kind: 'list', ordered, start: ordered ? parseInt(first[2]!, 10) : 1, items });
  }

  #table(): void {
    const cells = (line: string): Inline[][] =>
      line.trim().replace(/^\||\|$/g, '').split('|').map((cell) => parseInline(cell.trim()));
    const head = cells(this.lines[this.#at]!);
    const rows: Inline[][][] = [];
    for (this.#at += 2; this.#at < this.lines.length && this.lines[this.#at]!.includes('|'); this.#at++)
      rows.push(cells(this.lines[this.#at]!));
    this.#push({ kind: 'table', head, rows });
  }
}
