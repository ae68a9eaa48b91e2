// A server's answers for the page's fetch, and the requests that it saw. For tests.
import { vi } from 'vitest';

export interface SeenRequest {
  url: string;
  headers: Record<string, string>;
  body: Record<string, unknown>;
}

type Reply = (request: SeenRequest, signal: AbortSignal) => Response;

/** Every fetch gets the next reply; the last one is given again and again. */
export function serve(...replies: Reply[]): SeenRequest[] {
  const seen: SeenRequest[] = [];
  vi.stubGlobal('fetch', async (url: string, init: RequestInit = {}) => {
    const request = { url, headers: init.headers as Record<string, string>, body: JSON.parse((init.body as string) ?? 'null') };
    seen.push(request);
    return replies[Math.min(seen.length, replies.length) - 1]!(request, init.signal ?? new AbortController().signal);
  });
  return seen;
}

export function chunk(delta: object, finish_reason: string | null = null): string {
  return JSON.stringify({ object: 'chat.completion.chunk', choices: [{ index: 0, delta, finish_reason }] });
}

export const kUsage = {
  prompt_tokens: 10,
  completion_tokens: 5,
  prompt_tokens_details: { cached_tokens: 4 },
  completion_tokens_details: { reasoning_tokens: 3 },
};

/** The events of a whole answer. */
export function answerEvents(reasoning: string, text: string, finish = 'stop'): string[] {
  return [
    chunk({ role: 'assistant', content: '' }),
    ...(reasoning ? [chunk({ reasoning_content: reasoning })] : []),
    ...Array.from(text, (letter) => chunk({ content: letter })),
    JSON.stringify({ ...JSON.parse(chunk({}, finish)), timings: { decode_ms: 80 } }),
    JSON.stringify({ choices: [], usage: kUsage }),
    '[DONE]',
  ];
}

const textOf = (events: string[]): string => events.map((event) => `data: ${event}\n\n`).join('');

export const streamOf = (events: string[]): Reply => () => new Response(textOf(events));

/** Sends these events and then nothing more, until the page goes away. */
export const endlessStreamOf = (events: string[]): Reply => (_, signal) =>
  new Response(
    new ReadableStream({
      start(controller) {
        controller.enqueue(new TextEncoder().encode(textOf(events)));
        signal.addEventListener('abort', () => controller.error(signal.reason));
      },
    }),
  );

export const errorReply = (status: number, error: object): Reply => () =>
  new Response(JSON.stringify({ error }), { status, statusText: 'No' });
