import { describe, expect, it } from "vitest";
import { formatTimeUs, parseMoment } from "./moment-text.ts";

const nowMs = Date.parse("2026-11-29T00:00:00Z");
const parsed = (text: string): unknown => {
  const moment = parseMoment(text, "--to", nowMs);
  return moment.kind === "time" ? formatTimeUs(moment.timeUs) : moment;
};

describe("a moment on the command line", () => {
  it.each([
    ["2026-11-28T22:10:03Z", "2026-11-28T22:10:03Z"],
    ["2026-11-28T22:10:03.5z", "2026-11-28T22:10:03.500000Z"],
    ["2026-11-28 22:10:03.123456+00", "2026-11-28T22:10:03.123456Z"],
    ["2026-11-28T22:10:03,123456789+02:00", "2026-11-28T20:10:03.123456Z"],
    ["2026-11-28T22:10-0530", "2026-11-29T03:40:00Z"],
    ["-90s", "2026-11-28T23:58:30Z"],
    ["-5m", "2026-11-28T23:55:00Z"],
    ["-2h", "2026-11-28T22:00:00Z"],
    ["-1d", "2026-11-28T00:00:00Z"],
    [" 0/16B3748 ", { kind: "lsn", at: 0x16b3748n }],
    ["Latest", { kind: "latest" }],
  ])("%s", (text, expected) => {
    expect(parsed(text)).toEqual(expected);
  });

  it.each([
    ["yesterday", /neither a time nor a position/],
    ["", /neither a time nor a position/],
    ["2026-11-28", /neither a time nor a position/],
    ["-5 minutes", /neither a time nor a position/],
    ["2026-11-28T22:10:03", /does not say in which time zone/],
    ["2026-02-31T22:10:03Z", /no time that there is/],
    ["2026-11-28T25:10:03Z", /no time that there is/],
  ])("refuses %s", (text, why) => {
    expect(() => parsed(text)).toThrow(why);
  });
});
