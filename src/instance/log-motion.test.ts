import { expect, it } from "vitest";
import { lsn } from "../base/lsn.ts";
import { LogMotion } from "./log-motion.ts";

/** Looks: [flushed, received, vcl]. */
function looks(...all: (readonly [number, number, number])[]): boolean[] {
  const motion = new LogMotion();
  return all.map(([flushed, received, vcl]) => {
    const taken = { isAttached: true, received: at(received), vcl: at(vcl) };
    return motion.look(at(flushed), taken);
  });
}

const at = (value: number) => lsn(BigInt(value));

it("sees a walsender that hands out nothing of what is there", () => {
  expect(looks([100, 100, 100], [180, 100, 100], [180, 100, 100], [190, 100, 100])).toEqual([
    true,
    true,
    false,
    false,
  ]);
  expect(looks([100, 90, 90], [100, 90, 90], [100, 100, 100])).toEqual([true, false, true]);
});

it("takes for motion what is late, what has nothing to hand out, and what waits for storage", () => {
  expect(looks([100, 100, 100], [900, 200, 200], [1700, 300, 300])).toEqual([true, true, true]);
  expect(looks([100, 100, 100], [100, 100, 100], [100, 100, 100])).toEqual([true, true, true]);
  expect(looks([100, 100, 50], [900, 600, 50], [900, 600, 50])).toEqual([true, true, true]);
});

it("says nothing of a driver that is not attached", () => {
  const motion = new LogMotion();
  const taken = { isAttached: false, received: at(100), vcl: at(100) };
  expect([motion.look(at(200), taken), motion.look(at(200), taken)]).toEqual([true, true]);
});
