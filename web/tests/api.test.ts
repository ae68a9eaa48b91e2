// What the page sends, and how it reads what comes back.
import { afterEach, describe, expect, test, vi } from 'vitest';

import { ApiError, AnswerReader, fetchHealth, messageOf, streamChat, type AnswerStats, type ChatOptions } from '../src/api';
import { answerEvents, chunk, errorReply, kUsage, serve, streamOf } from './fake_server';

afterEach(() => vi.unstubAllGlobals());

const kOptions: ChatOptions = {
  messages: [{ role: 'user', content: 'hi' }], thinking: true, temperature: null, maxTokens: null, apiKey: '',
};

function recorder() {
  const seen = { reasoning: '', text: '', stats: null as AnswerStats | null };
  const handlers = {
    onReasoning: (text: string) => void (seen.reasoning += text),
    onText: (text: string) => void (seen.text += text),
    onStats: (stats: AnswerStats) => void (seen.stats = stats),
  };
  return { seen, handlers };
}

async function errorOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(() => 'no error', (error: unknown) => error);
}

const kSignal = new AbortController().signal;

describe('streamChat', () => {
  test('gives reasoning, text, figures and the end of an answer', async () => {
    serve(streamOf(answerEvents('hm', '14 Muscheln')));
    const { seen, handlers } = recorder();
    expect(await streamChat(kOptions, handlers, kSignal)).toBe('stop');
    expect(seen).toEqual({
      reasoning: 'hm',
      text: '14 Muscheln',
      stats: { promptTokens: 10, cachedTokens: 4, completionTokens: 5, reasoningTokens: 3, decodeMs: 80 },
    });
  });

  test('asks this server and no other, and leaves out what was not chosen', async () => {
    const requests = serve(streamOf(answerEvents('', 'x')));
    await streamChat(kOptions, recorder().handlers, kSignal);
    await streamChat({ ...kOptions, thinking: null, temperature: 0, maxTokens: 9, apiKey: 'abyssal' }, recorder().handlers, kSignal);
    expect(requests.map((request) => request.url)).toEqual(['/v1/chat/completions', '/v1/chat/completions']);
    expect(requests[0]!.headers).toEqual({ 'Content-Type': 'application/json' });
    expect(requests[1]!.headers).toEqual({ 'Content-Type': 'application/json', Authorization: 'Bearer abyssal' });
    const always = { messages: kOptions.messages, stream: true, stream_options: { include_usage: true } };
    expect(requests[0]!.body).toEqual({ ...always, thinking: { type: 'enabled' } });
    expect(requests[1]!.body).toEqual({ ...always, temperature: 0, max_tokens: 9 });
  });

  test('an answer that was cut is told apart from one that ended', async () => {
    serve(streamOf(answerEvents('', 'x', 'length')));
    expect(await streamChat(kOptions, recorder().handlers, kSignal)).toBe('length');
  });

  test('a connection that ends before [DONE] is an error, whatever came before', async () => {
    serve(streamOf([chunk({ content: 'half' }, 'stop')]));
    const { seen, handlers } = recorder();
    expect(await errorOf(streamChat(kOptions, handlers, kSignal))).toMatchObject({ code: 'incomplete' });
    expect(seen.text).toBe('half');
  });

  test('an error in the middle of a stream is the error', async () => {
    serve(streamOf([chunk({ content: 'a' }), JSON.stringify({ error: { message: 'out of pages', code: 'out_of_memory' } })]));
    expect(await errorOf(streamChat(kOptions, recorder().handlers, kSignal))).toMatchObject({ message: 'out of pages', code: 'out_of_memory' });
  });

  test('an error object becomes an ApiError with all that it says', async () => {
    serve(errorReply(400, { message: 'temperature: no', code: 'invalid_value', param: 'temperature' }));
    const error = await errorOf(streamChat(kOptions, recorder().handlers, kSignal));
    expect(error).toBeInstanceOf(ApiError);
    expect(error).toMatchObject({ message: 'temperature: no', status: 400, code: 'invalid_value', param: 'temperature' });
  });

  test('an error that is no JSON still has its status', async () => {
    serve(() => new Response('<h1>Bad gateway</h1>', { status: 502, statusText: 'Bad Gateway' }));
    expect(await errorOf(streamChat(kOptions, recorder().handlers, kSignal))).toMatchObject({ message: 'The server answered 502 Bad Gateway.', status: 502 });
  });
});

describe('AnswerReader', () => {
  test('takes no offence at fields that are missing, null or unknown', () => {
    const { seen, handlers } = recorder();
    const reader = new AnswerReader(handlers);
    for (const data of ['{}', '{"choices":[]}', '{"choices":[{}]}', '{"usage":null,"x":1}', chunk({ content: null, reasoning_content: null })])
      reader.read(data);
    expect([seen, reader.complete, reader.finishReason]).toEqual([{ reasoning: '', text: '', stats: null }, false, null]);
    reader.read(JSON.stringify({ usage: { prompt_tokens: 1, completion_tokens: 2 } }));
    expect(seen.stats).toEqual({ promptTokens: 1, cachedTokens: 0, completionTokens: 2, reasoningTokens: 0, decodeMs: null });
  });

  test('figures that come before the timings have none', () => {
    const { seen, handlers } = recorder();
    new AnswerReader(handlers).read(JSON.stringify({ choices: [], usage: kUsage }));
    expect(seen.stats!.decodeMs).toBeNull();
  });
});

describe('fetchHealth', () => {
  test('sends the key when there is one', async () => {
    const requests = serve(() => new Response('{"status":"ok","model":"abyss"}'));
    expect(await fetchHealth('k')).toEqual({ status: 'ok', model: 'abyss' });
    expect([requests[0]!.url, requests[0]!.headers.Authorization]).toEqual(['/health', 'Bearer k']);
  });

  test('a key that no header can carry is told apart from a server that is away', async () => {
    const requests = serve(() => new Response('{}'));
    for (const key of ['\u043a\u043b\u044e\u0447', 'a\u{1f511}', 'a\nb']) expect(messageOf(await errorOf(fetchHealth(key))), key).toMatch(/^The API key has a character/);
    expect(await errorOf(streamChat({ ...kOptions, apiKey: '\u043a' }, recorder().handlers, kSignal))).toBeInstanceOf(ApiError);
    expect(requests).toEqual([]);
    await fetchHealth('caf\u00e9');
    expect(new Headers(requests[0]!.headers).get('Authorization'), 'as the browser has it').toBe('Bearer caf\u00e9');
  });

  test('an error that the server explained is told in its words', async () => {
    serve(errorReply(503, { message: 'too many clients' }));
    expect(messageOf(await errorOf(fetchHealth('')))).toBe('too many clients');
    expect(messageOf(new TypeError('fetch failed'))).toBe('The server cannot be reached.');
  });

  test('passes errors on', async () => {
    serve(errorReply(403, { message: 'Host: no' }));
    expect(await errorOf(fetchHealth(''))).toMatchObject({ message: 'Host: no', status: 403, code: null });
  });
});
