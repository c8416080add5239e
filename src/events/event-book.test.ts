import { describe, expect, it } from "vitest";
import { type ClusterEvent, EventBook, parseEvents } from "./event-book.ts";

const dayMs = 24 * 3_600_000;
const startMs = Date.parse("2026-11-30T00:00:00Z");
const at = (ms: number, message = "it happened"): ClusterEvent => ({
  time: new Date(ms).toISOString(),
  sourceType: "cluster",
  source: "c",
  category: "failover",
  message,
});

describe("a book of events", () => {
  it("gives the newest of those since a moment, oldest first", () => {
    const book = new EventBook();
    for (const minute of [0, 1, 2, 3]) {
      const ms = startMs + minute * 60_000;
      book.add([at(ms, `minute ${minute}`)], ms);
    }
    const told = (sinceMs: number, limit: number): string[] =>
      book.list(sinceMs, limit).map(({ message }) => message);
    expect(told(0, 100)).toEqual(["minute 0", "minute 1", "minute 2", "minute 3"]);
    expect(told(startMs + 60_000, 100)).toEqual(["minute 1", "minute 2", "minute 3"]);
    expect(told(startMs + 60_000, 2)).toEqual(["minute 2", "minute 3"]);
    expect(told(startMs + dayMs, 100)).toEqual([]);
  });

  it("forgets what is old, and the oldest of too many; the file is bounded, too", () => {
    const book = new EventBook();
    let file = "";
    let longest = 0;
    for (let i = 0; i < 30_000; i++) {
      const ms = startMs + i;
      const { append, whole } = book.add([at(ms, `${i}`)], ms);
      file = whole ?? file + (append ?? "");
      longest = Math.max(longest, file.length);
    }
    expect(book.list(0, 100_000).map(({ message }) => Number(message))).toEqual(
      Array.from({ length: 10_000 }, (_, i) => 20_000 + i),
    );
    expect(longest).toBeLessThan(12_100 * 140);
    const read = parseEvents(file);
    const again = new EventBook(read.events, read.lines);
    expect(again.list(0, 1)).toEqual([at(startMs + 29_999, "29999")]);
    again.add([at(startMs + 15 * dayMs)], startMs + 15 * dayMs);
    expect(again.list(0, 100_000)).toHaveLength(1);
  });

  it("reads what a crash has left of its file", () => {
    const good = JSON.stringify(at(startMs));
    const bad = [good.slice(0, 30), "null", "[]", '{"time":"yesterday"}', '{"time":1}', "\0\0"];
    const { events, lines } = parseEvents([good, ...bad, good].join("\n"));
    expect(events).toEqual([at(startMs), at(startMs)]);
    expect(lines).toBe(8);
    expect(parseEvents("")).toEqual({ events: [], lines: 0 });
  });
});
