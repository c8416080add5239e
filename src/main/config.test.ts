import { expect, test } from "vitest";
import { resolveSettings } from "./config.ts";

const file = "/nowhere/borealis.json";

test("Aurora's SQL is on unless somebody wants to be without it", () => {
  const aurora = (flags: string[], env = {}): string =>
    resolveSettings({ file, env, flags })["sql.aurora"];
  expect(aurora([])).toBe("on");
  expect(aurora(["sql.aurora=off"])).toBe("off");
  expect(aurora([], { BOREALIS_SQL_AURORA: "off" })).toBe("off");
  expect(() => aurora(["sql.aurora=yes"])).toThrow("sql.aurora");
});

test.each([",", " ", " , ,"])(
  "access.allow of nothing but commas and spaces is refused: %j",
  (allow) => {
    const flags = [`access.allow=${allow}`];
    expect(() => resolveSettings({ file, env: {}, flags })).toThrow(/alone are refused/);
  },
);

test("access.allow is everybody while it is empty, or a list", () => {
  const allow = (text: string): string =>
    resolveSettings({ file, env: {}, flags: [`access.allow=${text}`] })["access.allow"];
  expect(allow("")).toBe("");
  expect(allow("10.0.0.0/8, fd00::/8")).toBe("10.0.0.0/8, fd00::/8");
});
