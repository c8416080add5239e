import { expect, test } from "vitest";
import { resolveSettings } from "./config.ts";

const file = "/nowhere/borealis.json";

test("Aurora's SQL is off unless somebody wants it", () => {
  const aurora = (flags: string[], env = {}): string =>
    resolveSettings({ file, env, flags })["sql.aurora"];
  expect(aurora([])).toBe("off");
  expect(aurora(["sql.aurora=on"])).toBe("on");
  expect(aurora([], { BOREALIS_SQL_AURORA: "on" })).toBe("on");
  expect(() => aurora(["sql.aurora=yes"])).toThrow("sql.aurora");
});
