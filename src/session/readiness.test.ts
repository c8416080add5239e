import { describe, expect, it } from "vitest";
import { VirtualClock } from "../../test/helpers/virtual-clock.ts";
import type { BorealisError } from "../base/errors.ts";
import { Readiness, type ReadinessOptions, type Sides } from "./readiness-shell.ts";

/** Of a session with a lowered synchronous_commit, whose writer says nothing of what is durable until `answer` is called. */
function make() {
  const clock = new VirtualClock();
  const asked: string[] = [];
  let answer = (): void => undefined;
  const target = { instanceId: "instance-1", role: "writer" };
  const writer = { target, conversation: { exchange: { isSuspicious: true } } };
  const sides = {
    own: () => ({
      conversation: {
        exchange: {
          memory: { isKnown: false },
          wishes: { holdTimeoutMs: 1_000, consistency: "session" },
        },
      },
      survivor: { isParked: true },
    }),
    writer: () => writer,
    openWriter: () => Promise.resolve(false),
    ask: () => Promise.resolve({ errors: new Map() }),
  };
  const options = {
    clock,
    awaitDurable: {
      untilInserted: (id: string) => {
        asked.push(id);
        return new Promise<void>((resolve) => (answer = resolve));
      },
    },
    acknowledgedOn: () => Promise.resolve(7n),
  };
  const readiness = new Readiness(
    options as unknown as ReadinessOptions,
    sides as unknown as Sides,
  );
  const ready = (signal: AbortSignal): Promise<string> =>
    readiness.ofReader(signal).then(
      () => "ready",
      ({ code }: BorealisError) => code,
    );
  return { clock, asked, ready, writer, answer: () => answer() };
}

const never = new AbortController().signal;

describe("a read behind what may not be durable yet", () => {
  it("waits no longer than hold_timeout for a writer that says nothing", async () => {
    const { clock, asked, ready } = make();
    expect(await clock.during(ready(never))).toBe("57P03");
    expect(asked).toContain("instance-1");
    expect(clock.nowMs()).toBeLessThan(2_000);
  });

  it("waits no longer once it is cancelled", async () => {
    const { clock, ready } = make();
    const cancel = new AbortController();
    clock.after(100, () => cancel.abort(new Error("cancelled")));
    expect(await clock.during(ready(cancel.signal))).toBe("57014");
    expect(clock.nowMs()).toBeLessThan(500);
  });

  it("asks the next writer when that one is given up", async () => {
    const { clock, asked, ready, writer } = make();
    clock.after(100, () => (writer.target = { ...writer.target, instanceId: "instance-2" }));
    await clock.during(ready(never));
    expect(new Set(asked)).toEqual(new Set(["instance-1", "instance-2"]));
  });

  it("goes on when it is durable", async () => {
    const { clock, ready, answer } = make();
    clock.after(100, answer);
    expect(await clock.during(ready(never))).toBe("ready");
  });
});
