// A conversation: what is asked, what is kept, and what is said when something goes wrong.
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';

import { apiMessages, Chat, isRunning, tokensPerSecond, type Turn } from '../src/chat.svelte';
import { settings } from '../src/settings.svelte';
import { answerEvents, chunk, endlessStreamOf, errorReply, serve, streamOf, type SeenRequest } from './fake_server';

const kInitialSettings = { ...settings };

/** As much of sessionStorage as the page uses. */
function memoryStorage() {
  const entries = new Map<string, string>();
  return { getItem: (key: string) => entries.get(key) ?? null, setItem: (key: string, value: string) => void entries.set(key, value) };
}

beforeEach(() => {
  vi.stubGlobal('sessionStorage', memoryStorage());
  Object.assign(settings, kInitialSettings);
});
afterEach(() => vi.unstubAllGlobals());

function turnWith(fields: Partial<Turn>): Turn {
  return { id: 1, role: 'assistant', text: '', reasoning: '', state: 'done', error: '', startedAt: 0, thoughtMs: 0, totalMs: 0, stats: null, ...fields };
}

const messagesOf = (request: SeenRequest | undefined): unknown => request?.body.messages;

describe('Chat', () => {
  test('an answer arrives in its turn, with its reasoning apart', async () => {
    serve(streamOf(answerEvents('hm', '14')));
    const chat = new Chat();
    await chat.send('  How many?  ');
    expect(chat.turns.map((turn) => [turn.role, turn.text, turn.reasoning, turn.state])).toEqual([
      ['user', 'How many?', '', 'done'],
      ['assistant', '14', 'hm', 'done'],
    ]);
    expect(chat.turns[1]!.stats?.completionTokens).toBe(5);
    expect(chat.running).toBe(false);
  });

  test('nothing is asked with blanks, nor while an answer is under way', async () => {
    const requests = serve(endlessStreamOf([chunk({ content: 'a' })]));
    const chat = new Chat();
    await chat.send(' \n');
    const first = chat.send('one');
    await chat.send('two');
    chat.stop();
    await first;
    expect(requests.length).toBe(1);
  });

  test('stopping keeps what has come, and the next question can be asked', async () => {
    serve(endlessStreamOf([chunk({ reasoning_content: 'hm' }), chunk({ content: 'half' })]), streamOf(answerEvents('', 'whole')));
    const chat = new Chat();
    const sent = chat.send('one');
    await vi.waitFor(() => expect(chat.turns[1]?.text).toBe('half'));
    expect(isRunning(chat.turns[1]!)).toBe(true);
    chat.stop();
    await sent;
    expect([chat.turns[1]!.state, chat.turns[1]!.text, chat.running]).toEqual(['stopped', 'half', false]);
    await chat.send('two');
    expect(chat.turns.at(-1)!.text).toBe('whole');
  });

  test('the model is told the past without its reasoning', async () => {
    const requests = serve(streamOf(answerEvents('hm', '14')));
    settings.systemPrompt = 'Be brief.';
    const chat = new Chat();
    await chat.send('one');
    await chat.send('two');
    expect(messagesOf(requests[1])).toEqual([
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'one' },
      { role: 'assistant', content: '14' },
      { role: 'user', content: 'two' },
    ]);
  });

  test('a question that was too long does not spoil the next one', async () => {
    const tooLong = errorReply(400, { message: 'prompt has 900 tokens', code: 'context_length_exceeded', param: 'messages' });
    const requests = serve(tooLong, streamOf(answerEvents('', '14')));
    const chat = new Chat();
    settings.systemPrompt = 'Be brief.';
    await chat.send('a'.repeat(5000));
    expect([chat.turns[1]!.state, chat.turns[1]!.error]).toEqual(['failed', expect.stringMatching(/^This question is too long.*900 tokens/)]);
    await chat.send('short');
    expect(messagesOf(requests[1])).toEqual([{ role: 'system', content: 'Be brief.' }, { role: 'user', content: 'short' }]);
    serve(tooLong);
    await chat.send('another');
    expect(chat.turns.at(-1)!.error).toMatch(/^This conversation no longer fits.*900 tokens/);
  });

  const kTextsAndErrors = (chat: Chat): unknown => chat.turns.map((turn) => [turn.text, turn.error]);

  test('an answer comes back when there is no other one', async () => {
    const fails = (): never => {
      throw new TypeError('fetch failed');
    };
    const chat = new Chat();
    serve(streamOf(answerEvents('', 'good')), fails, streamOf([chunk({ content: 'ha' })]), streamOf(answerEvents('hm', '', 'length')));
    await chat.send('one');
    for (const error of [/cannot be reached/, /connection ended/, /nothing in the other answer/]) {
      await chat.again();
      expect(kTextsAndErrors(chat)).toEqual([['one', ''], ['good', expect.stringMatching(error)]]);
      expect(new Chat().turns[1]!.text, 'after a reload').toBe('good');
    }
    serve(streamOf(answerEvents('', 'better')));
    await chat.again();
    expect(kTextsAndErrors(chat)).toEqual([['one', ''], ['better', '']]);
    serve(fails);
    await chat.again();
    serve(streamOf(answerEvents('', 'next')));
    await chat.send('two');
    expect(kTextsAndErrors(chat), 'and the error is over').toEqual([['one', ''], ['better', ''], ['two', ''], ['next', '']]);
  });

  test('an answer comes back when the other one is stopped before its text, and is kept until there is one', async () => {
    const chat = new Chat();
    serve(streamOf(answerEvents('', 'good')), endlessStreamOf([chunk({ reasoning_content: 'hm' })]), endlessStreamOf([chunk({ content: 'half' })]));
    await chat.send('one');
    let asked = chat.again();
    await vi.waitFor(() => expect(chat.turns[1]?.reasoning).toBe('hm'));
    chat.keep(); // as the page does when it is left
    expect(new Chat().turns.map((turn) => turn.text)).toEqual(['one', 'good']);
    chat.stop();
    await asked;
    expect(kTextsAndErrors(chat)).toEqual([['one', ''], ['good', '']]);
    asked = chat.again();
    await vi.waitFor(() => expect(chat.turns[1]?.text).toBe('half'));
    chat.stop();
    await asked;
    expect(chat.turns.map((turn) => [turn.text, turn.state])).toEqual([['one', 'done'], ['half', 'stopped']]);
  });

  test('a cleared conversation can be had back until something is asked', async () => {
    serve(streamOf(answerEvents('', '14')));
    const chat = new Chat();
    chat.clear();
    expect(chat.cleared).toBeNull();
    await chat.send('one');
    chat.clear();
    chat.clear(); // as with a second press of the keys
    expect([chat.turns, new Chat().turns]).toEqual([[], []]);
    chat.restore();
    expect(chat.turns.map((turn) => turn.text)).toEqual(['one', '14']);
    expect([new Chat().turns.length, chat.cleared]).toEqual([2, null]);
    chat.clear();
    await chat.send('two');
    chat.restore();
    expect(chat.turns.map((turn) => turn.text)).toEqual(['two', '14']);
  });

  test('clearing under an answer keeps what had come, and the answer that was to be replaced', async () => {
    const chat = new Chat();
    serve(endlessStreamOf([chunk({ content: 'half' })]));
    let asked = chat.send('one');
    await vi.waitFor(() => expect(chat.turns[1]?.text).toBe('half'));
    chat.clear();
    await asked;
    chat.restore();
    expect(chat.turns.map((turn) => [turn.text, turn.state])).toEqual([['one', 'done'], ['half', 'stopped']]);
    asked = chat.again();
    chat.clear();
    await asked;
    expect(chat.turns).toEqual([]);
    chat.restore();
    expect(chat.turns.map((turn) => turn.text)).toEqual(['one', 'half']);
  });

  test('text that comes faster than frames is shown frame by frame, and whole at the end', async () => {
    const frames: (() => void)[] = [];
    vi.stubGlobal('requestAnimationFrame', (work: () => void) => frames.push(work));
    vi.stubGlobal('cancelAnimationFrame', () => {});
    serve(endlessStreamOf([chunk({ reasoning_content: 'h' }), chunk({ reasoning_content: 'm' }), chunk({ content: '1' }), chunk({ content: '4' })]));
    const chat = new Chat();
    const sent = chat.send('one');
    await vi.waitFor(() => expect(frames.length).toBe(1));
    await Promise.resolve();
    expect([chat.turns[1]!.text, chat.turns[1]!.state]).toEqual(['', 'waiting']);
    frames[0]!();
    expect([chat.turns[1]!.reasoning, chat.turns[1]!.text, chat.turns[1]!.state, frames.length]).toEqual(['hm', '14', 'answering', 1]);
    chat.stop();
    await sent;
    serve(streamOf(answerEvents('hm', 'whole')));
    await chat.send('two'); // no frame comes
    expect([chat.turns.at(-1)!.reasoning, chat.turns.at(-1)!.text]).toEqual(['hm', 'whole']);
  });

  test('answering again replaces the last answer', async () => {
    const requests = serve(streamOf(answerEvents('', 'a')), streamOf(answerEvents('', 'b')));
    const chat = new Chat();
    await chat.again();
    expect(requests.length).toBe(0);
    await chat.send('one');
    await chat.again();
    expect(chat.turns.map((turn) => turn.text)).toEqual(['one', 'b']);
    expect(messagesOf(requests[1])).toEqual([{ role: 'user', content: 'one' }]);
  });

  test('a model without the choice to think is asked without it, once and for all', async () => {
    const requests = serve(
      errorReply(400, { message: 'thinking: deepseek-v2 has no thinking mode', param: 'thinking', code: 'unsupported_value' }),
      streamOf(answerEvents('', '14')),
    );
    const chat = new Chat();
    await chat.send('one');
    await chat.send('two');
    expect(chat.turns.map((turn) => turn.state)).toEqual(['done', 'done', 'done', 'done']);
    expect(chat.offersThinking).toBe(false);
    expect(requests.map((request) => 'thinking' in request.body)).toEqual([true, false, false]);
  });

  test('errors are told in words for people', async () => {
    const chat = new Chat();
    serve(() => {
      throw new TypeError('fetch failed');
    });
    await chat.send('a');
    expect(chat.turns.at(-1)!.error).toMatch(/cannot be reached/);
    serve(errorReply(401, { message: 'Authorization: expected a key', code: 'invalid_api_key' }));
    await chat.send('b');
    expect(chat.turns.at(-1)!.error).toBe('Authorization: expected a key. Enter the key in the settings.');
    serve(errorReply(503, { message: 'too many clients' }));
    await chat.send('c');
    expect(chat.turns.at(-1)!.error).toBe('too many clients');
  });

  test('a conversation outlives a reload; what was under way has stopped', async () => {
    serve(streamOf(answerEvents('hm', '14')), endlessStreamOf([chunk({ content: 'half' })]));
    const chat = new Chat();
    await chat.send('one');
    const sent = chat.send('two');
    await vi.waitFor(() => expect(chat.turns.at(-1)!.text).toBe('half'));
    chat.keep(); // as the page does when it is left
    const reloaded = new Chat();
    expect(reloaded.turns.map((turn) => [turn.text, turn.state])).toEqual([['one', 'done'], ['14', 'done'], ['two', 'done'], ['half', 'stopped']]);
    chat.clear();
    await sent;
    expect(new Chat().turns).toEqual([]);
  });

  test('ids stay unique after a reload', async () => {
    serve(streamOf(answerEvents('', '14')));
    await new Chat().send('one');
    const reloaded = new Chat();
    await reloaded.send('two');
    expect(new Set(reloaded.turns.map((turn) => turn.id)).size).toBe(4);
  });

  test('storage that is off, full or broken costs nothing but the memory', async () => {
    for (const broken of ['{', '7', '"x"', 'null']) {
      vi.stubGlobal('sessionStorage', { getItem: () => broken, setItem: () => void 0 });
      expect(new Chat().turns, broken).toEqual([]);
    }
    const refuse = (): never => {
      throw new DOMException('no', 'QuotaExceededError');
    };
    vi.stubGlobal('sessionStorage', { getItem: refuse, setItem: refuse });
    serve(streamOf(answerEvents('', '14')));
    const chat = new Chat();
    await chat.send('one');
    expect(chat.turns.at(-1)!.text).toBe('14');
  });
});

describe('apiMessages', () => {
  test('leaves out questions without an answer, but not the last', () => {
    const turns = [
      turnWith({ role: 'user', text: 'a' }), turnWith({ state: 'failed' }), turnWith({ role: 'user', text: 'b' }),
      turnWith({ state: 'stopped', text: 'half', reasoning: 'hm' }), turnWith({ role: 'user', text: 'c' }),
    ];
    expect(apiMessages(turns, '')).toEqual([
      { role: 'user', content: 'b' }, { role: 'assistant', content: 'half' }, { role: 'user', content: 'c' },
    ]);
  });

  test('a system prompt of blanks is none', () => {
    expect(apiMessages([], ' \n')).toEqual([]);
  });
});

describe('tokensPerSecond', () => {
  const stats = { promptTokens: 1, cachedTokens: 0, completionTokens: 101, reasoningTokens: 0, decodeMs: 500 };

  test('goes by the clock of the server, else by the time of the whole answer', () => {
    expect(tokensPerSecond(turnWith({ stats, totalMs: 1000 }))).toBe(200);
    expect(tokensPerSecond(turnWith({ stats: { ...stats, decodeMs: null }, totalMs: 1000 }))).toBe(100);
    expect(tokensPerSecond(turnWith({ stats: { ...stats, decodeMs: 0 }, totalMs: 1000 }))).toBe(100);
  });

  test('is not made up from nothing', () => {
    expect(tokensPerSecond(turnWith({ totalMs: 1000 }))).toBeNull();
    expect(tokensPerSecond(turnWith({ stats: { ...stats, completionTokens: 1 }, totalMs: 1000 }))).toBeNull();
    expect(tokensPerSecond(turnWith({ stats: { ...stats, decodeMs: null }, totalMs: 0 }))).toBeNull();
  });
});
