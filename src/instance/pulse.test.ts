import { describe, expect, it } from "vitest";
import { VirtualClock } from "../../test/helpers/virtual-clock.ts";
import { BorealisError, sqlState } from "../base/errors.ts";
import type { CpuTime } from "../base/slowness.ts";
import { sleep } from "../io/index.ts";
import type { PgClient } from "../wire/index.ts";
import { Pulse } from "./pulse-shell.ts";

/** A pulse that is looked at four times a second, of a PostgreSQL that treats each session as it is told. */
function make(atOnceMax = 3) {
  const clock = new VirtualClock();
  const seen = {
    sessions: 0,
    open: 0,
    treat: "well" as "well" | "stuck" | "stuckInQuery" | "full",
  };
  const never = (signal?: AbortSignal): Promise<never> =>
    new Promise((_resolve, reject) => {
      signal?.addEventListener("abort", () => reject(new Error("given up")), { once: true });
    });
  const connect = async (signal: AbortSignal): Promise<PgClient> => {
    const { treat } = seen;
    seen.sessions++;
    seen.open++;
    if (treat === "stuck") return never(signal).finally(() => seen.open--);
    if (treat === "full") {
      seen.open--;
      throw new BorealisError(sqlState.tooManyConnections, "too many clients");
    }
    const gone = new AbortController();
    const query = () => (treat === "well" ? Promise.resolve({ rows: [] }) : never(gone.signal));
    const destroy = (): void => {
      if (!gone.signal.aborted) seen.open--;
      gone.abort();
    };
    return { query, destroy } as unknown as PgClient; // what a pulse uses of one
  };
  const cpu = { ranMs: 0, waitedMs: 0 };
  const cpuTime = (): CpuTime => ({ ...cpu });
  const pulse = new Pulse({ clock, connect, atOnceMax, giveUpMs: 4_000, cpuTime });
  pulse.begin();
  /** The longest silence meanwhile. */
  const during = async (ms: number, each = (): void => undefined): Promise<number> => {
    let longest = 0;
    for (const untilMs = clock.nowMs() + ms; clock.nowMs() < untilMs;) {
      each();
      longest = Math.max(longest, pulse.silentMs());
      await clock.during(sleep(clock, 250));
    }
    return longest;
  };
  return { seen, during, cpu };
}

describe("the pulse of a PostgreSQL", () => {
  it("is felt while it answers, be it that it takes no more sessions", async () => {
    const { seen, during } = make();
    expect(await during(10_000)).toBeLessThanOrEqual(500);
    seen.treat = "full";
    expect(await during(10_000)).toBeLessThanOrEqual(500);
    expect(seen.sessions).toBeLessThanOrEqual(42);
  });

  it.each(["stuck", "stuckInQuery"] as const)(
    "is gone when nothing answers (%s), which costs it three sessions at once, and less than one a second",
    async (treat) => {
      const { seen, during } = make();
      await during(1_000);
      seen.treat = treat;
      seen.sessions = 0;
      let most = 0;
      const look = (): void => {
        most = Math.max(most, seen.open);
      };
      expect(await during(20_000, look)).toBeGreaterThan(19_000);
      expect(most).toBe(3);
      expect(seen.sessions).toBeLessThan(20);
      seen.treat = "well";
      await during(5_000);
      expect(await during(5_000)).toBeLessThanOrEqual(500);
      expect(seen.open).toBe(0);
    },
  );

  it("is not gone because one session stands still: the next one is asked beside it", async () => {
    const { seen, during } = make();
    await during(1_000);
    let round = 0;
    const silentMs = await during(20_000, () => {
      // One of ten, of either kind.
      seen.treat = round++ % 20 < 2 ? (round % 40 < 20 ? "stuck" : "stuckInQuery") : "well";
    });
    expect(silentMs).toBeLessThanOrEqual(1_000);
  });

  it("asks one thing after the other where it is to", async () => {
    const { seen, during } = make(1);
    seen.treat = "stuck";
    seen.sessions = 0;
    await during(3_000);
    expect(seen.sessions).toBe(1);
  });

  it("may come later where whoever asks has to wait for a processor, up to three times", async () => {
    const { seen, during, cpu } = make();
    await during(1_000);
    seen.treat = "stuck";
    const starve = (): void => {
      cpu.ranMs += 2;
      cpu.waitedMs += 248;
    };
    const silentMs = await during(6_000, starve);
    expect(silentMs).toBeGreaterThan(1_900);
    expect(silentMs).toBeLessThan(2_300);
  });
});
