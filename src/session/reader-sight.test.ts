import { describe, expect, it } from "vitest";
import { VirtualClock } from "../../test/helpers/virtual-clock.ts";
import { instanceId } from "../base/ids.ts";
import { lsn, type Lsn } from "../base/lsn.ts";
import { ReaderSight } from "./reader-sight-shell.ts";
import type { Target } from "./topology.ts";

function aReader(n: number): Target {
  const id = instanceId(`instance-${n}`);
  const address = { socketDir: "/nowhere", port: n, major: 18 };
  return { instanceId: id, role: "reader", address, incarnation: `${n}` };
}

const [hung, well] = [aReader(2), aReader(3)];

function make(replayedOn: (target: Target) => Promise<Lsn>) {
  const clock = new VirtualClock();
  const sight = new ReaderSight({
    clock,
    client: { closed: false },
    replayedOn,
    holdTimeoutMs: 30_000,
  });
  sight.note(lsn(100n));
  return { clock, sight };
}

describe("what a session is shown by the reader that it moves to", () => {
  it.each([
    ["says nothing", () => new Promise<Lsn>(() => undefined)],
    ["answers with errors", () => Promise.reject<Lsn>(new Error("it is silent"))],
  ])("is asked for of another one where that %s", async (_, answer) => {
    const { clock, sight } = make(answer);
    expect(
      await clock.during(
        sight.untilCaughtUp(() => hung),
        5_000,
      ),
    ).toBe(false);
  });

  it("is waited for a while, where that answers, and then asked for of another one", async () => {
    const { clock, sight } = make(() => Promise.resolve(lsn(clock.nowMs() < 4_000 ? 99n : 100n)));
    expect(await clock.during(sight.untilCaughtUp(() => well))).toBe(true);
    const standing = make(() => Promise.resolve(lsn(99n)));
    expect(
      await standing.clock.during(
        standing.sight.untilCaughtUp(() => well),
        6_000,
      ),
    ).toBe(false);
  });

  it("is waited for no more once nobody wants it", async () => {
    const { clock, sight } = make(() => Promise.resolve(lsn(99n)));
    const targetOf = () => (clock.nowMs() < 3_000 ? well : undefined);
    expect(await clock.during(sight.untilCaughtUp(targetOf))).toBe(true);
  });

  it("is read on the one that its session has gone to meanwhile", async () => {
    const { clock, sight } = make((target) =>
      target === hung ? new Promise<Lsn>(() => undefined) : Promise.resolve(lsn(100n)),
    );
    const targetOf = () => (clock.nowMs() < 2_200 ? hung : well);
    await clock.during(sight.untilShown(targetOf, lsn(100n)), 10_000);
    const shown = sight.untilShown(() => hung, lsn(100n), 5_000);
    await expect(clock.during(shown)).rejects.toMatchObject({ code: "57014" });
  });
});
