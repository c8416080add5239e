import { beforeAll, describe, expect, it } from "vitest";
import { asked, row, SurvivorScript } from "../../test/helpers/session-script.ts";
import { loadParser } from "../route/index.ts";
import {
  encodeCommandComplete,
  encodeQuery,
  encodeReadyForQuery,
  transactionState,
} from "../wire/index.ts";
import { Journal } from "./journal.ts";

beforeAll(() => loadParser());

const { idle } = transactionState;
const bytes = (length: number): Buffer => Buffer.alloc(length, "x");
/** A cycle for each of them, none of them answered. */
function journalOf(bytesMax: number, ...lengths: number[]): Journal {
  const journal = new Journal(bytesMax);
  for (const length of lengths) {
    journal.begin();
    journal.add(bytes(length));
  }
  return journal;
}
const lengths = (parts: readonly Buffer[] | undefined): number[] =>
  (parts ?? []).map(({ length }) => length);

describe("a journal that is full", () => {
  it("forgets what has begun, and not what the client sent behind it", () => {
    const { kept } = journalOf(10, 11, 8, 9);
    expect(kept).toMatchObject({ front: [], obstacle: "it sent more than is kept" });
    expect([kept.isLaterWhole, lengths(kept.later)]).toEqual([true, [8, 9]]);
  });

  it("keeps the next transaction again, and counts what of it was sent ahead", () => {
    const journal = journalOf(10, 11, 8);
    journal.finish(true);
    expect([journal.kept.obstacle, lengths(journal.kept.front)]).toEqual([undefined, [8]]);
    journal.add(bytes(3));
    expect([journal.kept.obstacle, lengths(journal.kept.front)]).toEqual([
      "it sent more than is kept",
      [],
    ]);
  });

  it("counts a whole transaction, also what was sent before the rest of it was answered", () => {
    const journal = journalOf(10, 4, 4, 4);
    for (const obstacle of [undefined, undefined, "it sent more than is kept"]) {
      expect(journal.kept.obstacle).toBe(obstacle);
      journal.finish(false);
    }
  });

  it("forgets what the client sent ahead as a whole, until nothing of it is owed", () => {
    const journal = journalOf(10, 1, 60_000, 6_000);
    expect(journal.kept).toMatchObject({ obstacle: undefined, later: [], isLaterWhole: false });
    journal.finish(true);
    expect(journal.kept).toMatchObject({ obstacle: "it sent more than is kept" });
    journal.finish(true);
    journal.finish(true);
    journal.begin();
    journal.add(bytes(9));
    expect(lengths(journal.kept.front)).toEqual([9]);
    expect(journal.kept).toMatchObject({ obstacle: undefined, isLaterWhole: true });
  });
});

describe("a journal of very many cycles", () => {
  it("has each of them once, answered or not, and in their order", () => {
    const journal = new Journal(1024 * 1024);
    const count = 1_000;
    for (let at = 0; at < 2 * count; at++) {
      journal.begin();
      journal.add(Buffer.from(`${at},`));
    }
    for (let at = 0; at < count; at++) journal.finish(false);
    journal.barAnswered("one");
    journal.bar("two");
    journal.add(Buffer.from("more"));
    const { finished, front, later, obstacle } = journal.kept;
    const texts = Array.from({ length: 2 * count }, (_, at) => `${at},`);
    const bytes = Buffer.concat([...finished, ...(front ?? []), ...later]);
    expect(bytes.toString()).toBe(`${texts.join("")}more`);
    expect(Buffer.concat([...finished]).toString()).toBe(texts.slice(0, count).join(""));
    expect([front?.join(""), obstacle]).toEqual([`${count},`, "one"]);
  });

  it("puts small parts together, and keeps nothing of what is forgotten", () => {
    const sync = bytes(5);
    const full = new Journal(10);
    const journal = new Journal(1024 * 1024);
    for (const each of [full, journal]) {
      for (let at = 0; at < 20_000; at++) {
        each.begin();
        each.add(sync);
        each.finish(false);
      }
    }
    expect(lengths(journal.kept.finished).reduce((sum, one) => sum + one)).toBe(100_000);
    expect(journal.kept.finished.length).toBeLessThan(500);
    expect(JSON.stringify(full).length).toBeLessThan(1_000);
  });

  // Minutes, if all that waits were moved up with each.
  it("lets go of one as quickly as of the last", () => {
    const count = 400_000;
    const journal = new Journal(0);
    for (let at = 0; at < count; at++) journal.begin();
    for (let at = 0; at < count; at++) journal.finish(true);
    expect(journal.kept.front).toBeUndefined();
  });
});

describe("a session that keeps nothing to be run again", () => {
  const select = encodeQuery("select 1");

  it("goes on at a loss, and what had not begun is run", () => {
    const script = new SurvivorScript({ journalBytesMax: 0 }).client(select, select).forget();
    script.lost().connected().server(row("1"), encodeReadyForQuery(idle));
    expect(script.lines).toEqual([
      "lost: < E(40001) Z(I) reconnect",
      "connected: > Q(select 1) refused",
      "server: < T D C(SELECT 1) Z(I)",
    ]);
  });

  it("is asked about its COMMIT all the same, with another statement sent behind it", () => {
    const script = new SurvivorScript({ journalBytesMax: 0 }).inTransaction();
    script.ran("insert into t values (1)", encodeCommandComplete("INSERT 0 1"));
    script
      .client(encodeQuery("commit"))
      .server(...asked("77"))
      .client(select)
      .forget();
    script.lost().fate("committed").connected();
    expect(script.lines).toEqual([
      "lost: ask 77",
      "committed: < C(COMMIT) Z(I) reconnect",
      "connected: > Q(select 1) answered",
    ]);
  });
});
