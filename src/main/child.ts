import { once } from "node:events";
import { InvariantBroken } from "../base/assert.ts";
import { messageOf } from "../base/errors.ts";
import type { Logger } from "../io/index.ts";
import { answerLine } from "./child-line.ts";
import { keepOutOfCoreDumps } from "./environment.ts";

/**
 * What every child process of the supervisor does alike: one line of JSON on stdin is its configuration; stdin then
 * stays open for what the supervisor asks later, and its end means that the supervisor is gone, however it died.
 */
export interface ChildStart {
  readonly config: unknown;
  /** Aborts on SIGTERM ("stop") or when the supervisor is gone ("orphaned"). */
  readonly stop: AbortSignal;
  /** Answers what the supervisor asks later (child-line.ts); what it asked already waits for this. */
  serve(handlers: Readonly<Record<string, (params: unknown) => unknown>>): void;
}

export type StopReason = "stop" | "orphaned";

/** Why `stop` aborted. */
export function stopReason(stop: AbortSignal): StopReason {
  return stop.reason === "orphaned" ? "orphaned" : "stop";
}

export async function startChild(title: string): Promise<ChildStart> {
  process.title = title;
  keepOutOfCoreDumps();
  const controller = new AbortController();
  process.on("SIGTERM", () => controller.abort("stop"));
  // Ctrl-C reaches the whole foreground group; the supervisor decides what it means.
  process.on("SIGINT", () => undefined);
  process.on("SIGHUP", () => undefined);
  let text = "";
  process.stdin.setEncoding("utf8");
  process.stdin.on("end", () => controller.abort("orphaned"));
  process.stdin.on("error", () => controller.abort("orphaned"));
  while (!text.includes("\n")) {
    const [chunk] = (await once(process.stdin, "data", { signal: controller.signal })) as [string];
    text += chunk;
  }
  const end = text.indexOf("\n");
  let rest = text.slice(end + 1);
  let handlers: Parameters<ChildStart["serve"]>[0] | undefined;
  const answerWhole = (): void => {
    if (!handlers) return;
    for (let at = rest.indexOf("\n"); at >= 0; at = rest.indexOf("\n")) {
      answerLine(rest.slice(0, at), handlers);
      rest = rest.slice(at + 1);
    }
  };
  process.stdin.on("data", (chunk: string) => {
    rest += chunk;
    answerWhole();
  });
  // The supervisor is gone then, which the end of stdin tells.
  process.stdout.on("error", () => undefined);
  return {
    config: JSON.parse(text.slice(0, end)),
    stop: controller.signal,
    serve(given) {
      handlers = given;
      answerWhole();
    },
  };
}

/** Logs what nobody caught and ends the process: a broken law with 70, anything else with 1. */
export function dieLoudly(logger: Logger): void {
  const die = (error: unknown): void => {
    const isLaw = error instanceof InvariantBroken;
    const event = isLaw ? "invariant.broken" : "process.crashed";
    logger.error(
      { event, stack: error instanceof Error ? error.stack : undefined },
      messageOf(error),
    );
    process.exit(isLaw ? 70 : 1);
  };
  process.on("uncaughtException", die);
  process.on("unhandledRejection", die);
}

/** Resolves with the reason when the process shall stop. */
export function untilStopped(stop: AbortSignal): Promise<StopReason> {
  return new Promise((resolve) => {
    if (stop.aborted) return resolve(stopReason(stop));
    stop.addEventListener("abort", () => resolve(stopReason(stop)), { once: true });
  });
}
