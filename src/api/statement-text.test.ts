import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { matchesPattern } from "./like.ts";
import { formatInterval, formatTime, parseInterval, parseTime } from "./sql-times.ts";
import { parseValue, printValue } from "./sql-types.ts";
import { splitStatements, tokensOf } from "./statement-text.ts";

describe("a statement's text", () => {
  it("is split at semicolons that are none of a string's, a name's or a comment's", () => {
    const text = `select ';' ; -- a ; b
      select "a;b", $x$ ; $x$, E'\\';' /* ; /* ; */ ; */;;
      select 1`;
    expect(splitStatements(text).map((one) => one.text)).toEqual([
      "select ';'",
      `select "a;b", $x$ ; $x$, E'\\';'`,
      "select 1",
    ]);
    for (const { start, text: own } of splitStatements(text))
      expect(text.slice(start, start + own.length)).toBe(own);
  });

  it("is never lost, whatever it is", () => {
    const piece = fc.constantFrom(
      "'",
      '"',
      "$",
      "$a$",
      "/*",
      "*/",
      "--",
      "\n",
      ";",
      "a",
      " ",
      "é",
      "1",
      "\\",
      "E'",
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
        const text = pieces.join("");
        let at = 0;
        for (const { start, end } of tokensOf(text)) {
          expect(start).toBeGreaterThanOrEqual(at);
          expect(end).toBeGreaterThan(start);
          at = end;
        }
        expect(at).toBeLessThanOrEqual(text.length);
      }),
    );
  });

  it("is read in time that grows with its length, also where nothing is closed", () => {
    for (const opening of ["/*", "'", '"', "$a$ $b$", "$$ "])
      expect(tokensOf(opening.repeat(20_000)).length).toBeLessThan(80_000);
  });
});

describe("values as text", () => {
  it("are the same when they are read again", () => {
    fc.assert(
      fc.property(fc.array(fc.option(fc.string({ unit: "binary" }))), (list) => {
        expect(parseValue("text[]", printValue("text[]", list))).toEqual(list);
      }),
    );
    const us = fc.bigInt({ min: -59_011_459_200_000_000n, max: 200_000_000_000_000_000n });
    fc.assert(
      fc.property(us, (time) => {
        expect(parseTime(formatTime(time))).toBe(time);
      }),
    );
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 10n ** 15n }), (length) => {
        expect(parseInterval(formatInterval(length))).toBe(length);
      }),
    );
  });

  it("are PostgreSQL's", () => {
    expect(formatTime(parseTime("2026-11-30T01:02:03.5-01:30") ?? 0n)).toBe(
      "2026-11-30 02:32:03.5+00",
    );
    expect(parseTime("2026-02-30")).toBeUndefined();
    expect(formatInterval(parseInterval("1 day 2 hours 3.5 s") ?? 0n)).toBe("1 day 02:00:03.5");
    expect(parseInterval("1 month")).toBeUndefined();
    expect(parseInterval("")).toBeUndefined();
    expect(parseValue("jsonb", '{"bb":[1,{}],"c":null}')).toBe('{"c": null, "bb": [1, {}]}');
    expect(() => parseValue("jsonb", "[".repeat(30_000) + "]".repeat(30_000))).toThrow(/invalid/);
    const floats = [1e15, 123_456_789_012_345, 1.5e-5, 0.0001, -0, Number.NaN, -1e300];
    expect(floats.map((value) => printValue("float8", value))).toEqual([
      "1e+15",
      "123456789012345",
      "1.5e-05",
      "0.0001",
      "-0",
      "NaN",
      "-1e+300",
    ]);
    expect(printValue("text[]", ["a", "b c", 'q"', "null", ""])).toBe(
      String.raw`{a,"b c","q\"","null",""}`,
    );
  });

  it("match patterns as a regular expression does", () => {
    const letters = fc.string({ unit: fc.constantFrom("a", "b", "%", "_"), maxLength: 8 });
    fc.assert(
      fc.property(letters, letters, (text, pattern) => {
        const source = pattern.replaceAll("%", "[^]*").replaceAll("_", "[^]");
        expect(matchesPattern(text, pattern, false)).toBe(new RegExp(`^${source}$`).test(text));
      }),
    );
  });
});

describe("a text of very many tokens", () => {
  it("is refused before it is read to its end", () => {
    expect(() => splitStatements(";".repeat(16_384))).not.toThrow();
    expect(() => splitStatements(";".repeat(16_385))).toThrow("words and signs");
  });
});
