import { describe, expect, it } from "vitest";
import { aSight } from "../../test/helpers/admin-world.ts";
import type { Clock, Logger, WorkerThread } from "../io/index.ts";
import type { FromEvaluator, Order, Outcome, PrepareOrder } from "./evaluation.ts";
import { EvaluatorThread } from "./evaluator-shell.ts";

/** A thread that a test plays. */
class FakeThread implements WorkerThread {
  readonly posted: Order[] = [];
  isStopped = false;
  say: (message: FromEvaluator) => void = () => undefined;
  exit: (error?: Error) => void = () => undefined;
  post(message: unknown): void {
    this.posted.push(message as Order);
  }
  onMessage(handler: (message: unknown) => void): void {
    this.say = handler;
  }
  onExit(handler: (error?: Error) => void): void {
    this.exit = handler;
  }
  stop(): void {
    this.isStopped = true;
  }
}

const order = (): PrepareOrder => ({
  kind: "prepare",
  statement: { text: "select 1", types: [] },
  session: { user: "u", database: "d", pid: 1, version: "v", settings: [] },
});

function world(): {
  evaluator: EvaluatorThread;
  threads: FakeThread[];
  /** Lets the timer that runs go off. */
  timeOut: () => void;
} {
  const threads: FakeThread[] = [];
  let timeOut = (): void => undefined;
  const clock = {
    after: (_delayMs: number, fn: () => void) => {
      timeOut = fn;
      return { cancel: () => undefined };
    },
  } as unknown as Clock;
  const logger = { warn: () => undefined, error: () => undefined } as unknown as Logger;
  const startThread = (): FakeThread => {
    const thread = new FakeThread();
    threads.push(thread);
    return thread;
  };
  const evaluator = new EvaluatorThread({ clock, logger, startThread });
  return { evaluator, threads, timeOut: () => timeOut() };
}

const codeOf = (work: Promise<Outcome>): Promise<string> =>
  work.then(
    () => "done",
    (error: { code: string }) => error.code,
  );

const outcome: Outcome = {
  kind: "rows",
  rows: { bytes: new Uint8Array(aSight().sessions?.length ?? 0), ends: [] },
};

describe("the thread that evaluates", () => {
  it("serves one statement at a time, each in its turn", async () => {
    const { evaluator, threads } = world();
    const answers = [1, 2].map(() => codeOf(evaluator.evaluate(order)));
    const [thread] = threads;
    expect(thread?.posted).toHaveLength(0);
    thread?.say({ kind: "ready" });
    expect(thread?.posted).toHaveLength(1);
    const error = { code: "42601", message: "no", detail: undefined, hint: undefined };
    thread?.say({ kind: "failed", id: 1, error: { ...error, position: 3 } });
    expect(thread?.posted).toHaveLength(2);
    thread?.say({ kind: "done", id: 2, outcome });
    expect(await Promise.all(answers)).toEqual(["42601", "done"]);
    expect(threads).toHaveLength(1);
  });

  it("is stopped when a statement takes too long, and serves the next one anew", async () => {
    const { evaluator, threads, timeOut } = world();
    const answers = [1, 2].map(() => codeOf(evaluator.evaluate(order)));
    threads[0]?.say({ kind: "ready" });
    timeOut();
    expect(threads.map(({ isStopped }) => isStopped)).toEqual([true, false]);
    threads[0]?.exit();
    threads[1]?.say({ kind: "ready" });
    threads[1]?.say({ kind: "done", id: 2, outcome });
    expect(await Promise.all(answers)).toEqual(["54001", "done"]);
  });

  it("may run out of memory, which is the end of that statement only", async () => {
    const { evaluator, threads } = world();
    const answers = [1, 2].map(() => codeOf(evaluator.evaluate(order)));
    threads[0]?.say({ kind: "ready" });
    threads[0]?.exit(new Error("Worker terminated due to reaching memory limit"));
    threads[1]?.say({ kind: "ready" });
    threads[1]?.say({ kind: "done", id: 2, outcome });
    expect(await Promise.all(answers)).toEqual(["53200", "done"]);
  });

  it("goes on behind a statement whose rows cannot be had", async () => {
    const { evaluator, threads } = world();
    const answers = [
      codeOf(
        evaluator.evaluate(() => {
          throw new TypeError("no rows");
        }),
      ),
      codeOf(evaluator.evaluate(order)),
    ];
    threads[0]?.say({ kind: "ready" });
    threads[0]?.say({ kind: "done", id: 2, outcome });
    expect(await Promise.all(answers)).toEqual(["XX000", "done"]);
  });

  it("tells everybody when it cannot start, and tries again for the next one", async () => {
    const { evaluator, threads } = world();
    const answers = [1, 2].map(() => codeOf(evaluator.evaluate(order)));
    threads[0]?.exit(new Error("no such file"));
    expect(await Promise.all(answers)).toEqual(["XX000", "XX000"]);
    void codeOf(evaluator.evaluate(order));
    expect(threads).toHaveLength(2);
  });

  it("lets a hundred wait, and tells of a fault of ours without ending", async () => {
    const { evaluator, threads } = world();
    const answers = Array.from({ length: 101 }, () => codeOf(evaluator.evaluate(order)));
    expect(await answers.at(-1)).toBe("53300");
    threads[0]?.say({ kind: "ready" });
    threads[0]?.say({ kind: "broken", id: 1, reason: "RangeError" });
    expect(await answers[0]).toBe("XX000");
    expect(threads[0]?.posted).toHaveLength(2);
  });
});
