import { expect, it } from "vitest";
import { archiveLine, buildingLine, printable, tableLines } from "./print.ts";

it("what strangers can write moves no cursor, and is no line of its own", () => {
  expect(printable("a\tb\u001b[2Jc\nd\u009be\u007f")).toBe("a\tb\\x1b[2Jc\\x0ad\\x9be\\x7f");
  expect(printable("grün 漢字 😀")).toBe("grün 漢字 😀");
  expect(tableLines(["USER", "N"], [["x\ny", "1"]])).toEqual(["  USER    N", "  x\\x0ay  1"]);
});

it("an archive that has everything is up to date, whenever something was written last", () => {
  const told = (lagBytes: number | null, latestRestorableTime: string | null) => {
    const archive = { archivedLsn: "0/5", lagBytes, problem: null };
    return archiveLine({ archive, latestRestorableTime });
  };
  const time = "2026-11-28T12:00:00.000Z";
  expect(told(0, time)).toBe(`log archived to 0/5, up to date, restorable to ${time}`);
  expect(told(300, time)).toBe(`log archived to 0/5, 300 bytes behind, restorable to ${time}`);
  expect(told(3 * 1024 ** 2, time)).toContain(", 3.0 MiB behind, ");
  expect(told(null, null)).toBe("log archived to 0/5");
});

it("a cache that is being built says how far it is", () => {
  const building = {
    step: "unpacking a snapshot",
    doneBytes: 3 * 1024 ** 2,
    totalBytes: 4 * 1024 ** 2,
  };
  expect(buildingLine(building)).toBe("unpacking a snapshot: 3.0 MiB of 4.0 MiB (75 %)");
  const copying = { step: "copying instance-1", doneBytes: 0, totalBytes: null };
  expect(buildingLine(copying)).toBe("copying instance-1 ...");
});
