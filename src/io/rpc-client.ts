import type { Address } from "../base/address.ts";
import { BorealisError, sqlState } from "../base/errors.ts";
import { type Connection, dial } from "./connection.ts";
import { type Line, LineReader, send } from "./rpc-line.ts";

interface Waiting {
  resolve(value: unknown): void;
  reject(error: unknown): void;
  timer: NodeJS.Timeout | undefined;
}

/** A control line to a process that serves methods (rpc-server.ts). */
export class RpcClient {
  private readonly connection: Connection;
  private readonly waiting = new Map<number, Waiting>();
  private nextId = 1;
  private eventHandler: ((event: string, data: unknown) => void) | undefined;
  private closeHandler: (() => void) | undefined;

  constructor(connection: Connection) {
    this.connection = connection;
    const reader = new LineReader();
    connection.onData((chunk) => {
      try {
        reader.push(chunk, (line) => this.settle(line));
      } catch (error) {
        connection.destroy(error instanceof Error ? error : undefined);
      }
    });
    connection.onEnd(() => connection.end());
    connection.onClose(() => this.onGone());
  }

  get closed(): boolean {
    return this.connection.closed;
  }

  /** Asks and waits. Raises what the other side raised, or 08006 when it goes away or stays silent. */
  call(method: string, params?: unknown, options: { timeoutMs?: number } = {}): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.connection.closed) return reject(goneAway());
      const id = this.nextId++;
      this.waiting.set(id, {
        resolve,
        reject,
        timer: this.startTimer(id, method, options.timeoutMs),
      });
      send(this.connection, { id, method, params });
    });
  }

  onEvent(handler: (event: string, data: unknown) => void): void {
    this.eventHandler = handler;
  }

  /**
   * Gives the whole state of something now and after each change: `method` answers with it, `event` tells of every
   * change. An answer that was worked out before a change may be written after it, so it counts only if no event
   * came first: every later state comes as an event.
   */
  async follow(
    source: { readonly method: string; readonly event: string; readonly timeoutMs: number },
    take: (state: unknown) => void,
  ): Promise<void> {
    let hasChanged = false;
    this.onEvent((event, data) => {
      if (event !== source.event) return;
      hasChanged = true;
      take(data);
    });
    const first = await this.call(source.method, {}, { timeoutMs: source.timeoutMs });
    if (!hasChanged) take(first);
  }

  /** Called once when the line is gone; at once if it is gone already. */
  onClose(handler: () => void): void {
    this.closeHandler = handler;
    if (this.connection.closed) handler();
  }

  close(): void {
    this.connection.end();
  }

  private startTimer(id: number, method: string, timeoutMs?: number): NodeJS.Timeout | undefined {
    if (timeoutMs === undefined) return undefined;
    return setTimeout(() => {
      const entry = this.waiting.get(id);
      this.waiting.delete(id);
      const why = `no answer to "${method}" within ${timeoutMs} ms`;
      entry?.reject(new BorealisError(sqlState.connectionFailure, why));
    }, timeoutMs);
  }

  private settle(line: Line): void {
    if (typeof line.event === "string") return this.eventHandler?.(line.event, line.data);
    if (typeof line.id !== "number") return;
    const entry = this.waiting.get(line.id);
    if (!entry) return;
    this.waiting.delete(line.id);
    clearTimeout(entry.timer);
    if (line.error) entry.reject(errorFrom(line.error));
    else entry.resolve(line.result);
  }

  private onGone(): void {
    for (const entry of this.waiting.values()) {
      clearTimeout(entry.timer);
      entry.reject(goneAway());
    }
    this.waiting.clear();
    this.closeHandler?.();
  }
}

function goneAway(): BorealisError {
  return new BorealisError(sqlState.connectionFailure, "the process went away");
}

function errorFrom(error: NonNullable<Line["error"]>): BorealisError {
  return new BorealisError(error.code ?? sqlState.internal, error.message ?? "unknown error", {
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    ...(error.detail === undefined ? {} : { detail: error.detail }),
  });
}

/**
 * Connects to a process of this cluster that serves methods. Raises BorealisError 08006 when nobody listens, 55000 when
 * the socket is another user's.
 */
export async function connectRpc(
  address: Address,
  options: { signal?: AbortSignal; timeoutMs?: number } = {},
): Promise<RpcClient> {
  return new RpcClient(await dial(address, { ...options, isOwnOnly: true }));
}
