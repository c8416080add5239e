import type { ChildProcess } from "node:child_process";
import { BorealisError, messageOf, sqlState } from "../base/errors.ts";

/**
 * What a supervisor asks of a running child: `{id, method, params}` in one line of JSON on the child's stdin, behind
 * its configuration; `{id, result}` or `{id, error}` on its stdout. A pipe that only these two hold, so secrets may go
 * through it.
 */
interface Waiting {
  resolve(value: unknown): void;
  reject(error: unknown): void;
  readonly timer: NodeJS.Timeout;
}

const lineMaxBytes = 64 * 1024;

/** The supervisor's end. */
export class ChildLine {
  private readonly child: ChildProcess;
  private readonly waiting = new Map<number, Waiting>();
  private lastId = 0;
  private partial = "";

  constructor(child: ChildProcess) {
    this.child = child;
    child.stdout?.setEncoding("utf8");
    child.stdout?.on("data", (text: string) => this.onText(text));
    child.stdout?.on("error", () => undefined); // its exit tells the story
  }

  /** Raises what the child raised, or 08006 when it goes away or stays silent. */
  ask(method: string, params: unknown, timeoutMs: number): Promise<unknown> {
    const id = ++this.lastId;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.waiting.delete(id);
        reject(lost(`no answer to "${method}" within ${timeoutMs} ms`));
      }, timeoutMs);
      this.waiting.set(id, { resolve, reject, timer });
      this.child.stdin?.write(`${JSON.stringify({ id, method, params })}\n`);
    });
  }

  /** The child is gone. */
  close(): void {
    for (const one of this.waiting.values()) {
      clearTimeout(one.timer);
      one.reject(lost("the process went away"));
    }
    this.waiting.clear();
  }

  private onText(text: string): void {
    this.partial += text;
    for (let at = this.partial.indexOf("\n"); at >= 0; at = this.partial.indexOf("\n")) {
      this.settle(this.partial.slice(0, at));
      this.partial = this.partial.slice(at + 1);
    }
    // Nobody but us writes there; whatever it is must not pile up.
    if (this.partial.length > lineMaxBytes) this.partial = "";
  }

  private settle(line: string): void {
    const { id, result, error } = fieldsOf(parseOrNothing(line));
    const one = typeof id === "number" ? this.waiting.get(id) : undefined;
    if (typeof id !== "number" || !one) return;
    this.waiting.delete(id);
    clearTimeout(one.timer);
    if (typeof error === "string") one.reject(new BorealisError(sqlState.internal, error));
    else one.resolve(result);
  }
}

/** What every child answers: that it still answers. */
export const pingMethod = "ping";

/** The child's end: answers one line. What is no question is passed over. */
export function answerLine(
  line: string,
  handlers: Readonly<Record<string, (params: unknown) => unknown>>,
): void {
  const { id, method, params } = fieldsOf(parseOrNothing(line));
  if (typeof id !== "number" || typeof method !== "string") return;
  if (method === pingMethod) return say({ id, result: null });
  try {
    const handler = Object.hasOwn(handlers, method) ? handlers[method] : undefined;
    if (!handler) throw new BorealisError(sqlState.notSupported, `no method "${method}" here`);
    say({ id, result: handler(params) ?? null });
  } catch (error) {
    say({ id, error: messageOf(error) });
  }
}

function say(answer: unknown): void {
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}

function parseOrNothing(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined; // neither a question nor an answer
  }
}

function fieldsOf(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? { ...value } : {};
}

function lost(why: string): BorealisError {
  return new BorealisError(sqlState.connectionFailure, why);
}
