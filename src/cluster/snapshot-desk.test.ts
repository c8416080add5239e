import { describe, expect, it } from "vitest";
import { passingClock } from "../../test/helpers/passing-clock.ts";
import { lsn } from "../base/lsn.ts";
import { RpcClient } from "../io/index.ts";
import { SnapshotDesk } from "./snapshot-desk-shell.ts";

const peer = { tell: () => undefined, signal: new AbortController().signal };
const retention = { setSnapshotLsn: () => undefined };

/** A keeper that is there from the n-th look on, and says what it was asked. */
function keeperFrom(looks: number, answer: unknown = "done") {
  const asked: string[] = [];
  let left = looks;
  const client: RpcClient = Object.assign(Object.create(RpcClient.prototype), {
    call: (method: string) => {
      asked.push(method);
      return Promise.resolve(answer);
    },
  });
  return {
    asked,
    report: undefined,
    get client() {
      return left-- > 0 ? undefined : client;
    },
  };
}

describe("what is asked of snapshots", () => {
  it("waits for a keeper that is on its way, and is asked once", async () => {
    const keeper = keeperFrom(20);
    const { handlers } = new SnapshotDesk(passingClock(), keeper, retention);
    expect(await handlers["snapshotCreate"]?.({ id: "one" }, peer)).toBe("done");
    expect(keeper.asked).toEqual(["snapshotCreate"]);
  });

  it("tells from where on they lead to a moment, or that none does", async () => {
    for (const [from, reach] of [
      ["0/30", 0x30n],
      [null, undefined],
    ] as const) {
      const desk = new SnapshotDesk(passingClock(), keeperFrom(2, { from }), retention);
      expect(await desk.reach([], lsn(1n))).toBe(reach);
    }
    const nobody = new SnapshotDesk(passingClock(), keeperFrom(Infinity), retention);
    await expect(nobody.reach([], lsn(1n))).rejects.toMatchObject({ code: "57P03" });
  });

  it("is refused with what to do when no keeper comes", async () => {
    const keeper = keeperFrom(Number.POSITIVE_INFINITY);
    const { handlers } = new SnapshotDesk(passingClock(), keeper, retention);
    await expect(handlers["snapshotList"]?.({}, peer)).rejects.toMatchObject({
      code: "57P03",
      message: "the keeper does not run",
      hint: expect.stringContaining("borealis logs keeper"),
    });
  });
});
