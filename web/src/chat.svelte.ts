// The conversation on the page: what was said, and the answer that is under way.

import { ApiError, streamChat, type AnswerStats, type ApiMessage, type FinishReason, type StreamHandlers } from './api';
import { settings } from './settings.svelte';

export interface Turn {
  id: number;
  role: 'user' | 'assistant';
  text: string;
  reasoning: string;
  state: 'done' | 'waiting' | 'reasoning' | 'answering' | 'stopped' | 'cut' | 'failed';
  error: string;
  startedAt: number; // ms, performance.now()
  thoughtMs: number; // from the start to the first word of the answer
  totalMs: number;
  stats: AnswerStats | null;
}

export function isRunning(turn: Turn): boolean {
  return turn.state === 'waiting' || turn.state === 'reasoning' || turn.state === 'answering';
}

/** Tokens a second after the first one: by the server's own clock when it told, else by ours. */
export function tokensPerSecond(turn: Turn): number | null {
  if (!turn.stats || turn.stats.completionTokens < 2) return null;
  const ms = turn.stats.decodeMs || turn.totalMs;
  return ms > 0 ? (1000 * (turn.stats.completionTokens - 1)) / ms : null;
}

/**
 * What the server is told: the past without its reasoning, and without questions that got no answer. One that was too
 * long for the context would make every later one too long as well.
 */
export function apiMessages(turns: readonly Turn[], systemPrompt: string): ApiMessage[] {
  const messages: ApiMessage[] = systemPrompt.trim() ? [{ role: 'system', content: systemPrompt }] : [];
  turns.forEach((turn, i) => {
    const answer = turn.role === 'user' ? turns[i + 1] : turn;
    if (!answer || answer.text) messages.push({ role: turn.role, content: turn.text });
  });
  return messages;
}

const kKey = 'hadal.turns';

// The conversation outlives a reload, and ends with its tab. What was under way has stopped.
function load(): Turn[] {
  try {
    const turns = JSON.parse(sessionStorage.getItem(kKey) ?? '[]') as Turn[];
    return turns.map((turn) => (isRunning(turn) ? { ...turn, state: 'stopped' } : turn));
  } catch {
    return []; // storage is off or broken: the page works all the same
  }
}

export class Chat {
  turns = $state<Turn[]>(load());
  running = $state(false);
  offersThinking = $state(true); // until the server says that this model has no such choice
  #abort: AbortController | null = null;
  #lastId = Math.max(0, ...this.turns.map((turn) => turn.id));

  async send(text: string): Promise<void> {
    if (this.running || !text.trim()) return;
    this.turns.push(this.#newTurn('user', text.trim()));
    await this.#answer();
  }

  /** Drops the last answer and asks for another one. */
  async again(): Promise<void> {
    if (this.running) return;
    while (this.turns.at(-1)?.role === 'assistant') this.turns.pop();
    if (this.turns.length > 0) await this.#answer();
  }

  stop(): void {
    this.#abort?.abort();
  }

  clear(): void {
    this.stop();
    this.turns = [];
    this.keep();
  }

  keep(): void {
    try {
      sessionStorage.setItem(kKey, JSON.stringify(this.turns));
    } catch {
      // off, or full
    }
  }

  #newTurn(role: Turn['role'], text: string): Turn {
    const state = role === 'user' ? 'done' : 'waiting';
    return {
      id: ++this.#lastId, role, text, reasoning: '', state, error: '',
      startedAt: performance.now(), thoughtMs: 0, totalMs: 0, stats: null,
    };
  }

  async #answer(): Promise<void> {
    const messages = apiMessages(this.turns, settings.systemPrompt);
    this.turns.push(this.#newTurn('assistant', ''));
    this.keep();
    const turn = this.turns.at(-1)!; // the reactive one
    const abort = new AbortController();
    this.#abort = abort;
    this.running = true;
    try {
      const finish = await this.#stream(turn, messages, abort.signal);
      turn.state = finish === 'length' ? 'cut' : 'done';
    } catch (error) {
      if (abort.signal.aborted) {
        turn.state = 'stopped';
      } else {
        turn.state = 'failed';
        turn.error = explain(error);
      }
    } finally {
      turn.totalMs = performance.now() - turn.startedAt;
      if (this.#abort === abort) {
        this.#abort = null;
        this.running = false;
        this.keep();
      }
    }
  }

  async #stream(turn: Turn, messages: ApiMessage[], signal: AbortSignal): Promise<FinishReason> {
    const { temperature, maxTokens, apiKey } = settings;
    const thinking = this.offersThinking ? settings.thinking : null;
    const handlers: StreamHandlers = {
      onReasoning: (text) => {
        turn.state = 'reasoning';
        turn.reasoning += text;
      },
      onText: (text) => {
        if (turn.state !== 'answering') turn.thoughtMs = performance.now() - turn.startedAt;
        turn.state = 'answering';
        turn.text += text;
      },
      onStats: (stats) => (turn.stats = stats),
    };
    try {
      return await streamChat({ messages, thinking, temperature, maxTokens, apiKey }, handlers, signal);
    } catch (error) {
      if (!(error instanceof ApiError && error.param === 'thinking' && thinking !== null)) throw error;
      this.offersThinking = false; // a model that cannot think, or cannot but think
      return this.#stream(turn, messages, signal);
    }
  }
}

function explain(error: unknown): string {
  if (error instanceof ApiError) {
    if (error.code === 'context_length_exceeded')
      return `This conversation no longer fits into the model's context. Start a new chat. (${error.message})`;
    if (error.status === 401) return `${error.message}. Enter the key in the settings.`;
    return error.message;
  }
  return 'The server cannot be reached. Is `hadal serve` still running?';
}

export const chat = new Chat();
