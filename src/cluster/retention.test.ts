import { describe, expect, it } from "vitest";
import { formatLsn, parseLsn } from "../base/lsn.ts";
import { type LogNeeds, lowWanted } from "./retention.ts";

function wanted(
  snapshot: string,
  readers: (string | undefined)[] = [],
  backtrack?: string,
  archive: Pick<LogNeeds, "archivedLsn"> = { archivedLsn: "off" },
) {
  const low = lowWanted({
    snapshotLsn: parseLsn(snapshot),
    ...archive,
    backtrackLsn: backtrack === undefined ? undefined : parseLsn(backtrack),
    readers: readers.map((text) => (text === undefined ? undefined : parseLsn(text))),
  });
  return low === undefined ? undefined : formatLsn(low);
}

describe("the log that is kept", () => {
  it("reaches back to the start of the segment that holds the oldest LSN that anybody needs", () => {
    expect(wanted("0/5000028")).toBe("0/5000000");
    expect(wanted("0/5000000")).toBe("0/5000000");
    expect(wanted("0/5FFFFFF", ["0/7000000", "0/6123456"])).toBe("0/5000000");
    expect(wanted("0/5000028", ["0/4FFFFF8", "0/6000000"])).toBe("0/4000000");
    expect(wanted("0/5000028", ["0/6000000"], "0/3000100")).toBe("0/3000000");
    expect(wanted("0/5000028", ["0/6000000"], "0/8000000")).toBe("0/5000000");
  });

  it("is all that there is while a reader cannot say what it needs", () => {
    expect(wanted("0/5000028", ["0/6000000", undefined])).toBeUndefined();
  });

  it("is all that is not archived yet, and all that there is while nobody knows what is", () => {
    const archivedTo = (archivedLsn: LogNeeds["archivedLsn"]): string | undefined =>
      wanted("0/5000028", ["0/6000000"], undefined, { archivedLsn });
    expect(archivedTo(parseLsn("0/3000100"))).toBe("0/3000000");
    expect(archivedTo(parseLsn("0/7000000"))).toBe("0/5000000");
    expect(archivedTo("off")).toBe("0/5000000");
    expect(archivedTo(undefined)).toBeUndefined();
  });

  it("crosses from one log file number to the next", () => {
    expect(wanted("1/28", ["1/0"])).toBe("1/0");
    expect(wanted("1/28", ["0/FFFFFFF8"])).toBe("0/FF000000");
  });
});
