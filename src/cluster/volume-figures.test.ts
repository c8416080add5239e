import { describe, expect, it } from "vitest";
import { lsn } from "../base/lsn.ts";
import { volumeFigures, type VolumeParts } from "./volume-figures.ts";

function parts(given: Partial<VolumeParts> = {}): VolumeParts {
  return { log: span(100, 200), pins: [], branch: undefined, extents: undefined, ...given };
}
function span(from: number, to: number) {
  return { from: lsn(BigInt(from)), to: lsn(BigInt(to)) };
}

describe("a volume's size", () => {
  const extents = { bytes: 1000, sharedBytes: 400 };
  const cases: [string, Partial<VolumeParts>, [number, number, number | null, number]][] = [
    ["is its log until extents were counted", {}, [100, 100, null, 0]],
    ["is its log and its extents", { extents }, [1100, 100, 1000, 400]],
    ["is nothing while no node answers", { log: undefined }, [0, 0, null, 0]],
    ["has a pin inside its log once", { pins: [span(100, 150)] }, [100, 100, null, 50]],
    ["has what pins keep before its log", { pins: [span(20, 150)] }, [180, 180, null, 130]],
    [
      "has pins that overlap once",
      { pins: [span(120, 190), span(20, 60), span(40, 70), span(150, 160)] },
      [150, 150, null, 120],
    ],
    ["shares a clone's log up to the branch", { branch: lsn(130n) }, [100, 100, null, 30]],
    ["shares none of it once it begins later", { branch: lsn(90n) }, [100, 100, null, 0]],
    [
      "of a clone that has a clone shares both",
      { branch: lsn(130n), pins: [span(100, 180)], extents },
      [1100, 100, 1000, 480],
    ],
  ];
  it.each(cases)("%s", (_, given, [bytes, logBytes, extentBytes, sharedBytes]) => {
    expect(volumeFigures(parts(given))).toEqual({ bytes, logBytes, extentBytes, sharedBytes });
  });
});
