import { expect, it } from "vitest";
import { lsn } from "../base/lsn.ts";
import { DamageWatch } from "./damage-watch.ts";

const seen = (scl: bigint, more: { isDamaged?: boolean; isOpen?: boolean } = {}) => ({
  isDamaged: true,
  isOpen: true,
  ...more,
  scl: lsn(scl),
});

it("a damaged node whose log stands still for a minute is beyond repair", () => {
  const watch = new DamageWatch();
  expect(watch.look("n", seen(100n), 0)).toBe(false);
  expect(watch.look("n", seen(100n), 59_999)).toBe(false);
  expect(watch.look("other", seen(100n), 60_000)).toBe(false);
  expect(watch.look("n", seen(100n), 60_000)).toBe(true);
});

it("one that is repaired, or whose peers are away, is not", () => {
  const watch = new DamageWatch();
  watch.look("n", seen(100n), 0);
  expect(watch.look("n", seen(200n), 60_000)).toBe(false);
  expect(watch.look("n", seen(200n), 100_000)).toBe(false);
  watch.look("n", seen(200n, { isOpen: false }), 110_000);
  expect(watch.look("n", seen(200n), 130_000)).toBe(false);
  watch.look("n", seen(200n, { isDamaged: false }), 140_000);
  expect(watch.look("n", seen(200n), 195_000)).toBe(false);
  watch.look("n", undefined, 200_000);
  expect(watch.look("n", seen(200n), 260_000)).toBe(false);
});
