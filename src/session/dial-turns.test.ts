import { describe, expect, it } from "vitest";
import { DialTurns } from "./dial-turns-shell.ts";

describe("turns", () => {
  it("let sixteen work at once, and each of the others when one has come to its end, however", async () => {
    const turns = new DialTurns();
    let [atOnce, most] = [0, 0];
    const work = async (index: number): Promise<void> => {
      most = Math.max(most, ++atOnce);
      await new Promise((resolve) => setImmediate(resolve));
      atOnce--;
      if (index % 3 === 0) throw new Error("refused");
    };
    for (let round = 0; round < 2; round++) {
      const all = Array.from({ length: 100 }, (_, index) => turns.run(() => work(index)));
      const ends = await Promise.allSettled(all);
      expect(ends.filter(({ status }) => status === "rejected")).toHaveLength(34);
      expect([atOnce, most]).toEqual([0, 16]);
    }
  });
});
