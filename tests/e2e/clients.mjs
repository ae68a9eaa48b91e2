// The published clients, as they come from npm: openai, and @ai-sdk/deepseek with ai.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { createDeepSeek } from '@ai-sdk/deepseek';
import { APICallError, generateText, streamText } from 'ai';
import OpenAI from 'openai';

import {
  baseUrl, becomesActive, becomesIdle, isFake, key, keyedUrl, kFakeAnswer, kFakeReasoning, kLongQuestion, kQuestion, model,
} from './server.mjs';

const openai = new OpenAI({ baseURL: `${baseUrl}/v1`, apiKey: 'none is needed', maxRetries: 0 });
const deepseek = createDeepSeek({ baseURL: `${baseUrl}/v1`, apiKey: 'none is needed' });

const messages = [{ role: 'user', content: kQuestion }];
const ask = (fields = {}) => openai.chat.completions.create({ model, messages, temperature: 0, ...fields });

function assertAnswer(reasoning, text) {
  assert.ok(reasoning.length > 0, 'reasoning');
  assert.ok(text.length > 0, 'text');
  if (!isFake) return;
  assert.match(reasoning, kFakeReasoning);
  assert.match(text, kFakeAnswer);
}

async function errorOf(promise) {
  return promise.then(
    () => assert.fail('expected an error'),
    (error) => error,
  );
}

test('openai: a whole answer has reasoning, text and usage', async () => {
  const answer = await ask();
  const { message, finish_reason } = answer.choices[0];
  assertAnswer(message.reasoning_content, message.content);
  assert.equal(message.role, 'assistant');
  assert.equal(finish_reason, 'stop');
  assert.equal(answer.model, model);
  const { usage } = answer;
  assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
  const reasoned = usage.completion_tokens_details.reasoning_tokens;
  assert.ok(reasoned > 0 && reasoned < usage.completion_tokens, `${reasoned} tokens of reasoning`);
});

test('openai: a stream gives the same answer in pieces, reasoning first, usage last', async () => {
  const whole = (await ask()).choices[0].message;
  let [reasoning, text, finish, usage, pieces] = ['', '', null, null, 0];
  for await (const chunk of await ask({ stream: true, stream_options: { include_usage: true } })) {
    assert.equal(usage, null, 'the usage comes last');
    usage = chunk.usage ?? null;
    const choice = chunk.choices[0];
    if (!choice) continue;
    if (choice.delta.reasoning_content) assert.equal(text, '', 'reasoning after the answer began');
    reasoning += choice.delta.reasoning_content ?? '';
    text += choice.delta.content ?? '';
    finish ??= choice.finish_reason;
    pieces++;
  }
  assert.equal(reasoning, whole.reasoning_content);
  assert.equal(text, whole.content);
  assert.equal(finish, 'stop');
  assert.ok(usage.completion_tokens > 0);
  assert.ok(pieces >= 5, `${pieces} pieces`);
});

test('openai: its own helper puts a stream together', async () => {
  const stream = openai.chat.completions.stream({ model, messages, temperature: 0, stream_options: { include_usage: true } });
  const answer = await stream.finalChatCompletion();
  assert.equal(answer.choices[0].message.content, (await ask()).choices[0].message.content);
  assert.equal(answer.choices[0].finish_reason, 'stop');
  assert.ok((await stream.totalUsage()).completion_tokens > 0);
});

test('openai: max_tokens and stop end an answer where they say', async () => {
  const cut = await ask({ max_tokens: 5 });
  assert.equal(cut.choices[0].finish_reason, 'length');
  assert.equal(cut.usage.completion_tokens, 5);
  const word = (await ask()).choices[0].message.content.trim().split(/\s+/).at(-1);
  const stopped = await ask({ stop: [word] });
  assert.equal(stopped.choices[0].finish_reason, 'stop');
  assert.ok(!stopped.choices[0].message.content.includes(word), `stopped before "${word}"`);
});

test('openai: the same seed gives the same answer', async () => {
  const [a, b] = await Promise.all([ask({ temperature: 1, seed: 7 }), ask({ temperature: 1, seed: 7 })]);
  assert.equal(a.choices[0].message.content, b.choices[0].message.content);
});

test('openai: models are listed and retrieved', async () => {
  const list = await openai.models.list();
  assert.deepEqual(list.data.map((one) => one.id), [model]);
  assert.equal((await openai.models.retrieve(model)).object, 'model');
  assert.equal((await errorOf(openai.models.retrieve('gpt-4o'))).status, 404);
});

test('openai: errors become the client\'s own, with field and code', async () => {
  const table = [
    [{ temperature: 9 }, OpenAI.BadRequestError, 'temperature', 'invalid_value'],
    [{ n: 2 }, OpenAI.BadRequestError, 'n', 'invalid_value'],
    [{ temprature: 0 }, OpenAI.BadRequestError, 'temprature', 'unknown_parameter'],
    [{ messages: [] }, OpenAI.BadRequestError, 'messages', 'invalid_value'],
    [{ messages: [{ role: 'user', content: 'a '.repeat(200_000) }] }, OpenAI.BadRequestError, 'messages', 'context_length_exceeded'],
    [{ tools: [{ type: 'function', function: { name: 'f' } }] }, OpenAI.BadRequestError, 'tools', 'unsupported_parameter'],
    [{ model: 'gpt-4o' }, OpenAI.NotFoundError, 'model', 'model_not_found'],
    [{ stream: true, model: 'gpt-4o' }, OpenAI.NotFoundError, 'model', 'model_not_found'],
  ];
  for (const [fields, type, param, code] of table) {
    const error = await errorOf(ask(fields));
    assert.ok(error instanceof type, `${JSON.stringify(fields).slice(0, 60)}: ${error}`);
    assert.deepEqual([error.param, error.code], [param, code]);
  }
});

if (isFake)
  test('openai: an error of the model reaches the client, also in the middle of a stream', async () => {
    const failing = [{ role: 'user', content: 'Please fail' }];
    assert.ok((await errorOf(ask({ messages: failing }))) instanceof OpenAI.InternalServerError);
    const error = await errorOf((async () => { for await (const _ of await ask({ messages: failing, stream: true })); })());
    assert.ok(error instanceof OpenAI.APIError, String(error));
    assert.match(error.message, /the fake model fails/);
  });

if (keyedUrl)
  test('openai: the right key is let in, a wrong one and none are not', async () => {
    const withKey = (apiKey) => new OpenAI({ baseURL: `${keyedUrl}v1`, apiKey, maxRetries: 0 });
    assert.equal((await withKey(key).models.list()).data.length, 1);
    for (const wrong of ['wrong', `${key}x`]) {
      const error = await errorOf(withKey(wrong).chat.completions.create({ model, messages }));
      assert.ok(error instanceof OpenAI.AuthenticationError, String(error));
      assert.equal(error.code, 'invalid_api_key');
    }
    assert.equal((await fetch(`${keyedUrl}v1/models`)).status, 401);
  });

const long = [{ role: 'user', content: kLongQuestion }];

test('openai: an aborted stream frees its sequence and its pages', async () => {
  const stream = await ask({ messages: long, stream: true });
  let seen = 0;
  for await (const _ of stream) if (++seen === 5) stream.controller.abort();
  await becomesIdle();
});

test('openai: an aborted whole answer does too', async () => {
  const abort = new AbortController();
  const answer = openai.chat.completions.create({ model, messages: long, temperature: 1 }, { signal: abort.signal });
  const failed = errorOf(answer);
  await becomesActive();
  abort.abort();
  assert.ok((await failed) instanceof OpenAI.APIUserAbortError);
  await becomesIdle();
});

test('deepseek: a whole answer has reasoning, text and usage', async () => {
  const answer = await generateText({ model: deepseek(model), prompt: kQuestion, temperature: 0 });
  assertAnswer(answer.reasoningText, answer.text);
  assert.equal(answer.finishReason, 'stop');
  assert.ok(answer.usage.inputTokens > 0 && answer.usage.outputTokens > 0);
  assert.ok(answer.usage.outputTokenDetails.reasoningTokens > 0);
  assert.deepEqual(answer.warnings, []);
});

test('deepseek: a stream gives reasoning, then text', async () => {
  const order = [];
  let [reasoning, text] = ['', ''];
  const result = streamText({ model: deepseek(model), prompt: kQuestion, temperature: 0 });
  for await (const part of result.fullStream) {
    if (part.type === 'error') throw part.error;
    if (order.at(-1) !== part.type) order.push(part.type);
    if (part.type === 'reasoning-delta') reasoning += part.text;
    if (part.type === 'text-delta') text += part.text;
  }
  assertAnswer(reasoning, text);
  assert.ok(order.indexOf('reasoning-delta') < order.indexOf('text-delta'), order.join(' '));
  assert.equal(await result.finishReason, 'stop');
  assert.ok((await result.usage).outputTokens > 0);
});

test('deepseek: thinking can be turned off', async () => {
  const answer = await generateText({
    model: deepseek(model), prompt: kQuestion, temperature: 0, providerOptions: { deepseek: { thinking: { type: 'disabled' } } },
  });
  assert.equal(answer.reasoningText, undefined);
  assert.ok(answer.text.length > 0);
});

test('deepseek: a conversation goes on, also without /v1 in the address', async () => {
  const plain = createDeepSeek({ baseURL: baseUrl, apiKey: 'none' });
  const first = await generateText({ model: plain(model), messages, temperature: 0 });
  const second = await generateText({
    model: plain(model), messages: [...messages, ...first.response.messages, { role: 'user', content: 'And if she finds 3 more?' }],
  });
  assert.ok(second.text.length > 0);
  assert.ok(second.usage.inputTokens > first.usage.inputTokens);
});

test('deepseek: errors become the client\'s own', async () => {
  const error = await errorOf(generateText({ model: deepseek('deepseek-chat'), prompt: kQuestion, maxRetries: 0 }));
  assert.ok(APICallError.isInstance(error), String(error));
  assert.equal(error.statusCode, 404);
  assert.match(error.message, /expected ".*", the one that is served here, found "deepseek-chat"/);
});

test('deepseek: an aborted stream frees its sequence and its pages', async () => {
  const abort = new AbortController();
  const result = streamText({ model: deepseek(model), messages: long, abortSignal: abort.signal });
  let seen = 0;
  for await (const part of result.fullStream) if (part.type.endsWith('-delta') && ++seen === 5) abort.abort();
  await becomesIdle();
});
