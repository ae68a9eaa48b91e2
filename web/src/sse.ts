// Server-sent events (WHATWG HTML 9.2), as far as a chat needs them: the data of each event.
//
// Bytes may be cut anywhere, also inside a character or between \r and \n. EventSource itself
// cannot be used: it knows neither POST nor headers.

export class SseParser {
  #decoder = new TextDecoder();
  #line = '';
  #data: string[] = [];
  #afterCr = false; // the last character was \r: a \n now belongs to it

  /** The data of every event that `bytes` completes. */
  push(bytes: Uint8Array): string[] {
    const events: string[] = [];
    for (const char of this.#decoder.decode(bytes, { stream: true })) {
      const ends = char === '\r' || (char === '\n' && !this.#afterCr);
      if (ends) this.#endLine(events);
      else if (char !== '\n') this.#line += char;
      this.#afterCr = char === '\r';
    }
    return events;
  }

  #endLine(events: string[]): void {
    const line = this.#line;
    this.#line = '';
    if (line === '') {
      if (this.#data.length > 0) events.push(this.#data.join('\n'));
      this.#data = [];
    } else if (line.startsWith('data:')) {
      this.#data.push(line.slice(line[5] === ' ' ? 6 : 5));
    } // comments (": keep-alive") and other fields carry nothing for us
  }
}
