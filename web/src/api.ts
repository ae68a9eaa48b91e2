// What the page asks of `hadal serve`, and nothing of anybody else: every address is relative.

import { SseParser } from './sse';

export interface ApiMessage {
  role: 'system' | 'user' | 'assistant';
  content: string;
  reasoning_content?: string;
}

export interface ChatOptions {
  messages: ApiMessage[];
  thinking: boolean | null; // null: as the model does by itself
  temperature: number | null; // null: the model's own
  maxTokens: number | null;
  apiKey: string;
}

export interface AnswerStats {
  promptTokens: number;
  cachedTokens: number;
  completionTokens: number;
  reasoningTokens: number;
  decodeMs: number | null;
}

export interface StreamHandlers {
  onReasoning(text: string): void;
  onText(text: string): void;
  onStats(stats: AnswerStats): void;
}

export interface Health {
  status: string;
  model?: string;
  context_tokens?: number;
  key_required?: boolean;
}

/** An error that the server explained; its message is made for people. */
export class ApiError extends Error {
  constructor(
    message: string,
    readonly status: number,
    readonly code: string | null,
    readonly param: string | null = null,
  ) {
    super(message);
    this.name = 'ApiError';
  }
}

/** What a reader is told of an error. */
export function messageOf(error: unknown): string {
  return error instanceof ApiError ? error.message : 'The server cannot be reached.';
}

/** How an answer ended: "stop", or "length" when there was no room for more. */
export type FinishReason = 'stop' | 'length';

interface Chunk {
  choices?: { delta?: { content?: string | null; reasoning_content?: string | null }; finish_reason?: string | null }[];
  usage?: {
    prompt_tokens: number;
    completion_tokens: number;
    prompt_tokens_details?: { cached_tokens?: number };
    completion_tokens_details?: { reasoning_tokens?: number };
  } | null;
  timings?: { decode_ms?: number };
  error?: { message?: string; code?: string | null; param?: string | null };
}

function headers(apiKey: string): Record<string, string> {
  // fetch would refuse it with the same TypeError that a missing server gives.
  if (/[^\t\x20-\x7e\x80-\xff]/.test(apiKey))
    throw new ApiError('The API key has a character that no request can carry (only Latin-1 can). Correct it in the settings.', 0, 'invalid_api_key');
  return { 'Content-Type': 'application/json', ...(apiKey ? { Authorization: `Bearer ${apiKey}` } : {}) };
}

async function errorOf(response: Response): Promise<ApiError> {
  const text = await response.text();
  try {
    const { error } = JSON.parse(text) as Chunk;
    if (error?.message) return new ApiError(error.message, response.status, error.code ?? null, error.param ?? null);
  } catch {
    // not JSON: whatever answered is not hadal
  }
  return new ApiError(`The server answered ${response.status} ${response.statusText}.`, response.status, null);
}

export async function fetchHealth(apiKey: string): Promise<Health> {
  const response = await fetch('/health', { headers: headers(apiKey) });
  if (!response.ok) throw await errorOf(response);
  return (await response.json()) as Health;
}

/** Takes the chunks of one answer apart. Apart from fetch, so that it can be tested. */
export class AnswerReader {
  finishReason: FinishReason | null = null;
  complete = false; // [DONE] was seen
  #decodeMs: number | null = null;

  constructor(private readonly handlers: StreamHandlers) {}

  read(data: string): void {
    if (data === '[DONE]') {
      this.complete = true;
      return;
    }
    const chunk = JSON.parse(data) as Chunk;
    if (chunk.error) throw new ApiError(chunk.error.message ?? 'The answer failed.', 500, chunk.error.code ?? null);
    const choice = chunk.choices?.[0];
    if (choice?.delta?.reasoning_content) this.handlers.onReasoning(choice.delta.reasoning_content);
    if (choice?.delta?.content) this.handlers.onText(choice.delta.content);
    if (choice?.finish_reason) this.finishReason = choice.finish_reason === 'length' ? 'length' : 'stop';
    if (chunk.timings?.decode_ms !== undefined) this.#decodeMs = chunk.timings.decode_ms;
    if (chunk.usage) {
      this.handlers.onStats({
        promptTokens: chunk.usage.prompt_tokens,
        cachedTokens: chunk.usage.prompt_tokens_details?.cached_tokens ?? 0,
        completionTokens: chunk.usage.completion_tokens,
        reasoningTokens: chunk.usage.completion_tokens_details?.reasoning_tokens ?? 0,
        decodeMs: this.#decodeMs,
      });
    }
  }
}

export async function streamChat(options: ChatOptions, handlers: StreamHandlers, signal: AbortSignal): Promise<FinishReason> {
  const response = await fetch('/v1/chat/completions', {
    method: 'POST',
    signal,
    headers: headers(options.apiKey),
    body: JSON.stringify({
      messages: options.messages,
      stream: true,
      stream_options: { include_usage: true },
      ...(options.thinking === null ? {} : { thinking: { type: options.thinking ? 'enabled' : 'disabled' } }),
      ...(options.temperature === null ? {} : { temperature: options.temperature }),
      ...(options.maxTokens === null ? {} : { max_tokens: options.maxTokens }),
    }),
  });
  if (!response.ok || !response.body) throw await errorOf(response);

  const parser = new SseParser();
  const answer = new AnswerReader(handlers);
  const body = response.body.getReader();
  for (;;) {
    const { done, value } = await body.read();
    if (done) break;
    for (const data of parser.push(value)) answer.read(data);
  }
  if (!answer.complete) throw new ApiError('The connection ended before the answer did.', 0, 'incomplete');
  return answer.finishReason ?? 'stop';
}
