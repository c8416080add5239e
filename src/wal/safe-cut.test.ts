import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LogBuilder } from "../../test/helpers/log-builder.ts";
import { lsn, type Lsn, parseLsn } from "../base/lsn.ts";
import { pageBytes, safeCut, segmentBytes } from "./index.ts";

const page = BigInt(pageBytes);

/** Records of these lengths from `start` on, and the places where a stream of them may be cut. */
function logOf(start: bigint, lengths: readonly number[]): { bytes: Buffer; places: Lsn[] } {
  const total = lengths.reduce((sum, length) => sum + length + 8, 0);
  const log = new LogBuilder(start, Math.ceil(total / (pageBytes - 40)) + 2);
  const ends = lengths.map((length) => log.record(length));
  const bytes = log.bytes.subarray(0, log.at);
  const pages = Array.from(
    { length: bytes.length / pageBytes + 1 },
    (_, n) => start + BigInt(n) * page,
  );
  const places = new Set([...ends, ...pages].filter((at) => at <= start + BigInt(bytes.length)));
  return { bytes, places: [...places].map((at) => lsn(at)).toSorted((a, b) => (a < b ? -1 : 1)) };
}

describe("where a stream of log may be cut", () => {
  it("is at the last page's boundary or record's end, wherever it began and ends", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(0n, BigInt(segmentBytes), 5n * page),
        fc.array(
          fc.oneof(fc.integer({ min: 24, max: 300 }), fc.integer({ min: 24, max: 30_000 })),
          {
            minLength: 1,
            maxLength: 60,
          },
        ),
        fc.nat(),
        fc.nat(),
        (start, lengths, from, to) => {
          const { bytes, places } = logOf(start, lengths);
          const begin = places[from % places.length] ?? lsn(start);
          const skipped = Number(begin - start);
          const end = skipped + (to % (bytes.length - skipped + 1));
          const cut = begin + BigInt(safeCut(begin, bytes.subarray(skipped, end)));
          const best = places.findLast((at) => at <= start + BigInt(end));
          expect(cut).toBe(best);
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it("leaves less than a page behind, and loses nothing, over any cuts", () => {
    const { bytes, places } = logOf(0n, [100, 9_000, 24, 40_000, 50, 8_000, 120]);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 20_000 }), { minLength: 3 }), (steps) => {
        let [sent, taken] = [0, 0];
        for (const step of steps) {
          taken = Math.min(taken + step, bytes.length);
          sent += safeCut(lsn(BigInt(sent)), bytes.subarray(sent, taken));
          expect(places).toContain(BigInt(sent));
          expect(taken - sent).toBeLessThan(pageBytes);
        }
      }),
    );
  });

  it("is every byte of what is no log: zeros behind a switch of segments", () => {
    const zeros = Buffer.alloc(10_000);
    expect(safeCut(lsn(2n * page), zeros)).toBe(10_000);
    expect(safeCut(lsn(2n * page + 160n), zeros.subarray(0, 100))).toBe(100);
  });

  it.each([
    ["pg15-pages", "0/704E000"],
    ["pg18-pages", "0/70C4000"],
  ])("of what PostgreSQL wrote is where it says that records begin: %s", (name, from) => {
    const read = (kind: string): Buffer =>
      readFileSync(new URL(`./fixtures/${name}.${kind}`, import.meta.url));
    const bytes = read("wal");
    const start = parseLsn(from);
    const begins = new Set(read("lsns").toString().trim().split("\n").map(parseLsn));
    const cuts = new Set<Lsn>();
    for (let end = 8; end <= bytes.length; end += 8)
      cuts.add(lsn(start + BigInt(safeCut(start, bytes.subarray(0, end)))));
    const strange = [...cuts].filter((at) => at % page !== 0n && !begins.has(at));
    // What the last of them ends with is not in the list.
    expect(strange.filter((at) => [...begins].some((begin) => begin > at))).toEqual([]);
    expect(cuts.size).toBeGreaterThan(begins.size / 2);
  });
});
