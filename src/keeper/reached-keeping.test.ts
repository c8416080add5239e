import { describe, expect, it } from "vitest";
import { MemoryStore } from "../../test/helpers/memory-store.ts";
import { VirtualClock } from "../../test/helpers/virtual-clock.ts";
import { volumeId } from "../base/ids.ts";
import { parseLsn } from "../base/lsn.ts";
import { ExtentSealer, readReached } from "../volume/index.ts";
import type { KeeperContext } from "./keeper-shell.ts";
import { ReachedKeeping } from "./reached-keeping-shell.ts";

const sealer = new ExtentSealer({
  volumeId: volumeId("11111111-2222-3333-4444-555555555555"),
  keys: undefined,
});
const bornMs = Date.parse("2026-01-02T03:04:05.678Z");

function aCluster({ isOn = true } = {}) {
  const clock = new VirtualClock();
  const store = new MemoryStore("objects");
  const context = { clock, sealer: () => sealer, config: { archive: { isOn } } };
  const reached = new ReachedKeeping(context as unknown as KeeperContext);
  /** Two seconds later the writer is there, and all of it is archived. */
  const look = async (vdl: string): Promise<void> => {
    clock.passBy(2_000);
    reached.see({ epoch: 3, vdl, atMs: bornMs + clock.nowMs() });
    if (isOn) await reached.reach(store, parseLsn(vdl));
  };
  const ageMs = (): number => bornMs + clock.nowMs() - (reached.latestMs ?? 0);
  return { clock, store, reached, look, ageMs };
}

describe("the moment that an archive is known to reach", () => {
  it("is told as it stands in the store, and there as soon as more log is", async () => {
    const { store, reached, look, ageMs } = aCluster();
    expect(reached.latestMs).toBeUndefined();
    for (const vdl of ["0/100", "0/200", "0/300"]) {
      await look(vdl);
      expect(ageMs()).toBe(0);
      expect(await readReached(store, sealer)).toEqual({
        epoch: 3,
        lsn: parseLsn(vdl),
        atMs: reached.latestMs,
      });
    }
  });

  it("goes on while nothing is written", async () => {
    const { store, reached, look, ageMs } = aCluster();
    for (let looks = 0; looks < 100; looks++) {
      await look("0/100");
      expect(ageMs()).toBe(0);
      expect((await readReached(store, sealer))?.atMs).toBe(reached.latestMs);
    }
  });

  it("is what the nodes have where no log is archived", async () => {
    const { store, look, ageMs } = aCluster({ isOn: false });
    await look("0/100");
    expect(ageMs()).toBe(0);
    expect(store.puts).toBe(0);
  });
});
