/**
 * Owns tasks: closing aborts their signal and waits for all of them, so nothing runs on unowned. The first
 * failure of a task goes to `onFailure`; a task that ends because it was told to is no failure.
 */
export class Scope {
  private readonly controller = new AbortController();
  private readonly tasks = new Set<Promise<void>>();
  private readonly onFailure: (error: unknown) => void;

  constructor(onFailure: (error: unknown) => void, parent?: AbortSignal) {
    this.onFailure = onFailure;
    if (parent?.aborted) this.controller.abort(parent.reason);
    parent?.addEventListener("abort", () => this.controller.abort(parent.reason), {
      once: true,
      signal: this.controller.signal,
    });
  }

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  run(task: (signal: AbortSignal) => Promise<void>): void {
    const running = task(this.signal)
      .catch((error: unknown) => {
        if (!this.signal.aborted) this.onFailure(error);
      })
      .finally(() => this.tasks.delete(running));
    this.tasks.add(running);
  }

  async close(reason: string): Promise<void> {
    this.controller.abort(new Error(reason));
    await Promise.all(this.tasks);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close("scope closed");
  }
}
