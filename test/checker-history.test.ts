/** The checker is checked: each kind of contradiction is found in a history that has it, and none in one that is true. */
import { describe, expect, it } from "vitest";
import { faultKinds, scheduleOf } from "./helpers/chaos-schedule.ts";
import {
  type Append,
  type Exchange,
  type Final,
  History,
  type Transfer,
  type View,
} from "./helpers/history.ts";
import { contradictionsIn } from "./helpers/history-checks.ts";

const setup = { accounts: 2, balance: 100, holdMs: 30_000, slackMs: 1_000 };
const times = (startMs: number, endMs = startMs + 1) => ({ startMs, endMs, commitMs: startMs });
const attempt = { session: 1, form: "own", outcome: "ok" } as const;

function append(rows: readonly number[], startMs: number, facts: Partial<Append> = {}): Append {
  return { kind: "append", rows, ...attempt, ...times(startMs), ...facts };
}
function transfer(row: number, startMs: number, facts: Partial<Transfer> = {}): Transfer {
  const what = { row, from: 1, to: 2, amount: 10 };
  return { kind: "transfer", ...what, ...attempt, ...times(startMs), ...facts };
}
function exchange(
  expected: number,
  value: number,
  startMs: number,
  facts: Partial<Exchange> = {},
): Exchange {
  const what = { key: 1, expected, value, hasMatched: true };
  return { kind: "exchange", ...what, ...attempt, ...times(startMs), ...facts };
}
function view(startMs: number, facts: Partial<View> = {}): View {
  const seen = { registers: [1], total: 200, lastPlace: 0, life: "a" };
  return { endpoint: "reader", ...seen, ...times(startMs), ...facts };
}

interface Case {
  readonly writes?: History["writes"];
  readonly views?: readonly View[];
  readonly looks?: History["looks"];
  readonly shown?: readonly number[];
  readonly final?: Partial<Final>;
}

/** What is there at the end is what `final` says, or nothing and the first values. */
function found({ writes = [], views = [], looks = [], shown = [], final = {} }: Case): string {
  const history = new History();
  history.writes.push(...writes);
  history.views.push(...views);
  history.looks.push(...looks);
  history.show(shown, "reader", 0);
  const untouched: Final = {
    appended: new Map(),
    transferred: new Map(),
    balances: new Map([
      [1, 100],
      [2, 100],
    ]),
    registers: new Map([[1, 1]]),
  };
  return contradictionsIn(history, { ...untouched, ...final }, setup)
    .map(({ what }) => what)
    .join("\n");
}

const one = new Map([[7, 1]]);
const moved = new Map([
  [1, 90],
  [2, 110],
]);

describe("a history that is true", () => {
  it.each<[string, Case]>([
    ["is empty", {}],
    [
      "has an append that is there, and was shown",
      { writes: [append([7], 0)], shown: [7], final: { appended: one } },
    ],
    ["has a refused one that is not", { writes: [append([7], 0, { outcome: "40001" })] }],
    [
      "has an open one that is there",
      { writes: [append([7], 0, { form: "several", outcome: "08007" })], final: { appended: one } },
    ],
    [
      "has an open one that is not",
      { writes: [append([7, 8], 0, { form: "alone", outcome: "closed" })] },
    ],
    [
      "has a lost connection before its COMMIT",
      { writes: [append([7], 0, { outcome: "closed", commitMs: undefined })] },
    ],
    [
      "has a transfer",
      { writes: [transfer(7, 0)], views: [view(5)], final: { transferred: one, balances: moved } },
    ],
    [
      "has exchanges and views in order",
      {
        writes: [
          exchange(1, 70, 0),
          exchange(70, 71, 10),
          exchange(70, 72, 20, { hasMatched: false }),
        ],
        views: [
          view(5, { registers: [70], endpoint: "writer" }),
          view(15, { registers: [70] }),
          view(16, { registers: [71] }),
          view(17, { registers: [70], life: "b" }),
        ],
        final: { registers: new Map([[1, 71]]) },
      },
    ],
    [
      "has an open exchange that somebody built upon",
      {
        writes: [exchange(1, 70, 0, { form: "alone", outcome: "08007" }), exchange(70, 71, 10)],
        final: { registers: new Map([[1, 71]]) },
      },
    ],
    [
      "has an exchange that found no row while another was under way",
      {
        writes: [exchange(1, 70, 0, { endMs: 9 }), exchange(1, 71, 5, { hasMatched: false })],
        final: { registers: new Map([[1, 70]]) },
      },
    ],
    [
      "has an exchange that found no row before its value was written",
      {
        writes: [
          exchange(1, 70, 0, { endMs: 9 }),
          exchange(70, 71, 5, { endMs: 7, hasMatched: false }),
        ],
        final: { registers: new Map([[1, 70]]) },
      },
    ],
    [
      "has an open exchange that came to be after its answer",
      {
        writes: [exchange(1, 70, 0, { form: "alone", outcome: "08007" })],
        views: [view(5, { endpoint: "writer" })],
        final: { registers: new Map([[1, 70]]) },
      },
    ],
    [
      "has a look at the writer while the row was still being written",
      {
        writes: [append([7], 0, { endMs: 9 })],
        looks: [{ row: 7, by: "the writer", startMs: 5, endMs: 6, count: 0 }],
        final: { appended: one },
      },
    ],
    [
      "has an own COMMIT left open when nobody was served for all of hold_timeout",
      {
        writes: [
          append([7], 0, { outcome: "08007", endMs: 31_000 }),
          append([8], 500, { endMs: 900 }),
          append([9], 30_500, { endMs: 30_600 }),
        ],
        final: {
          appended: new Map([
            [8, 1],
            [9, 1],
          ]),
        },
      },
    ],
  ])("%s", (_name, one) => {
    expect(found(one)).toBe("");
  });
});

describe("what is found", () => {
  it.each<[string, Case, RegExp]>([
    ["a lost append", { writes: [append([7], 0)] }, /acknowledged and missing: append 7/],
    [
      "a double append",
      { writes: [append([7], 0)], final: { appended: new Map([[7, 2]]) } },
      /applied 2 times: append 7/,
    ],
    [
      "a refused append that is present",
      { writes: [append([7], 0, { outcome: "40001" })], final: { appended: one } },
      /refused and present: append 7/,
    ],
    [
      "an append whose COMMIT was never sent, and that is present",
      {
        writes: [append([7], 0, { outcome: "closed", commitMs: undefined })],
        final: { appended: one },
      },
      /refused and present: append 7/,
    ],
    [
      "half a transaction",
      {
        writes: [append([7, 8], 0, { outcome: "08007", form: "several" })],
        final: { appended: one },
      },
      /present in part: append 7, 8/,
    ],
    [
      "half of an acknowledged one",
      { writes: [append([7, 8], 0)], final: { appended: one } },
      /missing: append 7, 8/,
    ],
    ["an append by nobody", { final: { appended: one } }, /append 7 is there, by nobody/],
    ["a lost transfer", { writes: [transfer(7, 0)] }, /acknowledged and missing: transfer 7/],
    [
      "a transfer applied twice",
      { writes: [transfer(7, 0)], final: { transferred: new Map([[7, 2]]), balances: moved } },
      /applied 2 times: transfer 7/,
    ],
    [
      "a transfer half applied",
      { writes: [transfer(7, 0)], final: { transferred: one } },
      /account 1 has 100, by its transfers 90/,
    ],
    ["an unequal total", { views: [view(0, { total: 190 })] }, /reader showed a total of 190/],
    [
      "a row shown and later gone",
      { writes: [append([7], 0, { outcome: "08007", form: "alone" })], shown: [7] },
      /row 7 was shown by reader, and is gone/,
    ],
    [
      "a writer that does not show what was acknowledged",
      {
        writes: [append([7], 0)],
        looks: [{ row: 7, by: "the writer", startMs: 5, endMs: 6, count: 0 }],
        final: { appended: one },
      },
      /did not show row 7/,
    ],
    [
      "a writer that shows what was refused",
      {
        writes: [append([7], 0, { outcome: "40001" })],
        looks: [{ row: 7, by: "the writer", startMs: 5, endMs: 6, count: 1 }],
      },
      /showed row 7, which was refused/,
    ],
    [
      "a writer that shows a row twice",
      {
        writes: [append([7], 0)],
        looks: [{ row: 7, by: "the writer", startMs: 5, endMs: 6, count: 2 }],
        final: { appended: one },
      },
      /showed row 7 2 times/,
    ],
    [
      "a reader that goes back",
      { views: [view(0, { lastPlace: 9 }), view(5, { lastPlace: 8 })] },
      /reader went back from 9 to 8/,
    ],
    [
      "a reader whose register goes back",
      {
        writes: [exchange(1, 70, 0)],
        views: [view(5, { registers: [70] }), view(8, { registers: [1] })],
        final: { registers: new Map([[1, 70]]) },
      },
      /out of order: register 1 = 1 at reader/,
    ],
    [
      "a lost exchange",
      { writes: [exchange(1, 70, 0)] },
      /acknowledged and missing: register 1 from 1 to 70/,
    ],
    [
      "two exchanges of one value",
      {
        writes: [exchange(1, 70, 0), exchange(1, 71, 5)],
        final: { registers: new Map([[1, 71]]) },
      },
      /acknowledged and missing: register 1 from 1 to 70/,
    ],
    [
      "a refused exchange that is present",
      {
        writes: [exchange(1, 70, 0, { outcome: "40001" })],
        final: { registers: new Map([[1, 70]]) },
      },
      /refused and present: register 1/,
    ],
    [
      "one that found no row, and is present",
      {
        writes: [exchange(1, 70, 0, { hasMatched: false })],
        final: { registers: new Map([[1, 70]]) },
      },
      /refused and present: register 1/,
    ],
    [
      "a register written by nobody",
      { final: { registers: new Map([[1, 70]]) } },
      /register 1 had 70, by nobody/,
    ],
    [
      "a stale read at the writer",
      {
        writes: [exchange(1, 70, 0)],
        views: [view(5, { endpoint: "writer" })],
        final: { registers: new Map([[1, 70]]) },
      },
      /out of order: register 1 = 1 at writer/,
    ],
    [
      "exchanges against the order of time",
      {
        writes: [exchange(70, 71, 0), exchange(1, 70, 5)],
        final: { registers: new Map([[1, 71]]) },
      },
      /out of order: register 1 from 1 to 70/,
    ],
    [
      "a value that was read before it was written",
      {
        writes: [exchange(1, 70, 5)],
        views: [view(0, { endpoint: "writer", registers: [70] })],
        final: { registers: new Map([[1, 70]]) },
      },
      /out of order: register 1 from 1 to 70/,
    ],
    [
      "a value that was read and is gone",
      {
        writes: [exchange(1, 70, 0, { outcome: "08007", form: "alone" })],
        views: [view(5, { registers: [70] })],
      },
      /shown and gone: register 1 = 70/,
    ],
    [
      "an exchange that found no row where it had to",
      { writes: [exchange(1, 70, 0, { hasMatched: false })] },
      /found no row, though register 1 was 1/,
    ],
    [
      "an 08007 for an own COMMIT before hold_timeout",
      { writes: [append([7], 0, { outcome: "08007", endMs: 5_000 })] },
      /COMMIT left open \(08007\) after 5000 ms/,
    ],
    [
      "a closed connection for one",
      { writes: [append([7], 0, { outcome: "closed", endMs: 5_000 })] },
      /COMMIT left open \(closed\)/,
    ],
    [
      "an 08007 for an own COMMIT though a writer opened within hold_timeout",
      {
        writes: [append([7], 0, { outcome: "08007", endMs: 31_000 }), append([8], 9_000)],
        final: { appended: new Map([[8, 1]]) },
      },
      /COMMIT left open \(08007\) though a writer was open/,
    ],
    [
      "a session that is given up though a writer was open",
      {
        writes: [
          append([7], 0, { outcome: "57P03", form: "alone", endMs: 31_000 }),
          append([8], 9_000),
        ],
        final: { appended: new Map([[8, 1]]) },
      },
      /given up though a writer was open: append 7/,
    ],
    [
      "a write that is never answered",
      { writes: [append([7], 0, { outcome: "running", endMs: 0 })] },
      /never answered: append 7/,
    ],
    [
      "an answer that the contract does not know",
      { writes: [append([7], 0, { outcome: "XX000" })] },
      /answered XX000: append 7/,
    ],
  ])("%s", (_name, one, expected) => {
    expect(found(one)).toMatch(expected);
  });
});

describe("a schedule of faults", () => {
  it("is the same for the same seed, and begins the same when it is longer", () => {
    const [short, long] = [scheduleOf(7, 60_000), scheduleOf(7, 120_000)];
    expect(long.slice(0, short.length)).toEqual(short);
    expect(long.length).toBeGreaterThan(short.length);
    expect(scheduleOf(8, 60_000)).not.toEqual(short);
  });

  it("has every kind of fault within an hour", () => {
    const kinds = new Set(scheduleOf(1, 3_600_000).map(({ kind }) => kind));
    expect([...kinds].toSorted()).toEqual(faultKinds.toSorted());
  });
});
