import { describe, expect, it } from "vitest";
import { play, scenarios } from "./index.ts";

describe("fixed scripts", () => {
  for (const scenario of scenarios) {
    it(`${scenario.id}: ${scenario.what}: ${scenario.expected}`, () => {
      expect(play(scenario)).toBeUndefined();
    });
  }
});
