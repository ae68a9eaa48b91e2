// The conversation on the page: what was said, and the answer that is under way.

import { ApiError, messageOf, streamChat, type AnswerStats, type ApiMessage, type FinishReason, type StreamHandlers } from './api';
import { OncePerFrame } from './frames';
import { settings } from './settings.svelte';

export interface Turn {
  id: number;
  role: 'user' | 'assistant';
  text: string;
  reasoning: string;
  state: 'done' | 'waiting' | 'reasoning' | 'answering' | 'stopped' | 'cut' | 'failed';
  error: string; // why there is no answer, or (beside one that is done) no other answer
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
  cleared = $state<Turn[] | null>(null); // the conversation before this one, until something is asked
  #replaced: Turn | null = null; // the answer to keep if there will be no other
  #abort: AbortController | null = null;
  #lastId = Math.max(0, ...this.turns.map((turn) => turn.id));

  async send(text: string): Promise<void> {
    if (this.running || !text.trim()) return;
    this.cleared = null;
    const last = this.turns.at(-1);
    if (last && last.state !== 'failed') last.error = ''; // that there was no other answer is over now
    this.turns.push(this.#newTurn('user', text.trim()));
    await this.#answer();
  }

  /** Asks for another answer than the last one, which comes back when there is none. */
  async again(): Promise<void> {
    if (this.running || this.turns.length === 0) return;
    if (this.turns.at(-1)!.role === 'assistant') this.#replaced = this.turns.pop()!;
    if (!this.#replaced?.text) this.#replaced = null;
    await this.#answer();
  }

  stop(): void {
    this.#abort?.abort();
  }

  clear(): void {
    if (this.turns.length === 0) return;
    this.stop();
    this.cleared = this.#turnsToKeep();
    this.#replaced = null;
    this.turns = [];
    this.keep();
  }

  /** Takes `clear` back. */
  restore(): void {
    if (!this.cleared) return;
    this.turns = this.cleared;
    this.cleared = null;
    this.keep();
  }

  keep(): void {
    try {
      sessionStorage.setItem(kKey, JSON.stringify(this.#turnsToKeep()));
    } catch {
      // off, or full
    }
  }

  #turnsToKeep(): Turn[] {
    return this.#replaced ? [...this.turns.slice(0, -1), this.#replaced] : this.turns;
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
    const isFirst = messages.filter((message) => message.role !== 'system').length === 1;
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
        turn.error = explain(error, isFirst);
      }
    } finally {
      turn.totalMs = performance.now() - turn.startedAt;
      if (this.#abort === abort) {
        this.#abort = null;
        this.running = false;
        this.#endReplacing(turn);
        this.keep();
      }
    }
  }

  #endReplacing(turn: Turn): void {
    const old = this.#replaced;
    this.#replaced = null;
    if (!old || (turn.text && turn.state !== 'failed')) return;
    old.error = turn.error || (turn.state === 'stopped' ? '' : 'There was nothing in the other answer.');
    this.turns[this.turns.length - 1] = old;
  }

  async #stream(turn: Turn, messages: ApiMessage[], signal: AbortSignal): Promise<FinishReason> {
    const { temperature, maxTokens, apiKey } = settings;
    const thinking = this.offersThinking ? settings.thinking : null;
    const now = { state: turn.state, thoughtMs: 0, reasoning: '', text: '' }; // what the page does not show yet
    const show = new OncePerFrame(() => {
      turn.state = now.state;
      turn.thoughtMs = now.thoughtMs;
      turn.reasoning += now.reasoning;
      turn.text += now.text;
      now.reasoning = now.text = '';
    });
    const handlers: StreamHandlers = {
      onReasoning: (text) => {
        now.state = 'reasoning';
        now.reasoning += text;
        show.soon();
      },
      onText: (text) => {
        if (now.state !== 'answering') now.thoughtMs = performance.now() - turn.startedAt;
        now.state = 'answering';
        now.text += text;
        show.soon();
      },
      onStats: (stats) => (turn.stats = stats),
    };
    try {
      return await streamChat({ messages, thinking, temperature, maxTokens, apiKey }, handlers, signal);
    } catch (error) {
      if (!(error instanceof ApiError && error.param === 'thinking' && thinking !== null)) throw error;
      this.offersThinking = false; // a model that cannot think, or cannot but think
      return await this.#stream(turn, messages, signal);
    } finally {
      show.now();
    }
  }
}

function explain(error: unknown, isFirstQuestion: boolean): string {
  const message = messageOf(error);
  if (!(error instanceof ApiError)) return `${message} Is \`hadal serve\` still running?`;
  if (error.code === 'context_length_exceeded')
    return isFirstQuestion
      ? `This question is too long for the model's context. (${message})`
      : `This conversation no longer fits into the model's context. Start a new chat, or ask something shorter. (${message})`;
  return error.status === 401 ? `${message}. Enter the key in the settings.` : message;
}

export const chat = new Chat();
