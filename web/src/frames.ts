// Calls a function once a frame, however often it is asked to: text comes faster than it can be shown.

const kLatestMs = 100; // a page in the background has no frames

export class OncePerFrame {
  #cancel: (() => void) | null = null;

  constructor(private readonly work: () => void) {}

  soon(): void {
    if (this.#cancel) return;
    const timer = setTimeout(() => this.now(), kLatestMs);
    const frame = globalThis.requestAnimationFrame?.(() => this.now());
    this.#cancel = () => {
      clearTimeout(timer);
      if (frame !== undefined) cancelAnimationFrame(frame);
    };
  }

  /** Does what was asked for, if anything was. */
  now(): void {
    if (!this.#cancel) return;
    this.#cancel();
    this.#cancel = null;
    this.work();
  }
}
