import { describe, expect, it } from "vitest";
import { Lane } from "./lane-shell.ts";

describe("a lane", () => {
  it("runs one job at a time, in the order in which they were asked for, whatever becomes of them", async () => {
    const lane = new Lane();
    const said: string[] = [];
    const job =
      (name: string, fails = false) =>
      async (): Promise<string> => {
        said.push(`${name} begins`);
        await new Promise((resolve) => setImmediate(resolve));
        said.push(`${name} ends`);
        if (fails) throw new Error(name);
        return name;
      };
    const jobs = [lane.run(job("a")), lane.run(job("b", true)), lane.run(job("c"))];
    expect(lane.length).toBe(3);
    const results = await Promise.allSettled(jobs);
    expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    expect(said.join(", ")).toBe("a begins, a ends, b begins, b ends, c begins, c ends");
    expect(lane.length).toBe(0);
  });
});
