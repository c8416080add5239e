/** Servers that are told to end: by an operator, alone; or with their PostgreSQL, in the middle of something. */
import { beforeAll, describe, expect, it } from "vitest";
import { loadParser } from "../route/index.ts";
import {
  asked,
  cutShort,
  endedInCommit,
  failure,
  one,
  queryAnswer,
  report,
  row,
  SurvivorScript,
} from "../../test/helpers/session-script.ts";
import {
  backend,
  encodeCommandComplete,
  encodeQuery,
  encodeReadyForQuery,
  transactionState,
} from "../wire/index.ts";

beforeAll(() => loadParser());

const { idle, open } = transactionState;
const insert = "insert into t values (1)";
const inserted = encodeCommandComplete("INSERT 0 1");

describe("a session whose server an operator ends", () => {
  const committing = (...answers: Buffer[]): SurvivorScript =>
    new SurvivorScript()
      .inTransaction()
      .client(encodeQuery("commit"))
      .server(...answers)
      .forget();

  it("hears whether it was committed, and then of its end", () => {
    const script = committing(...asked("77"), endedInCommit).endedOnPurpose();
    expect(script.fate("committed").lines).toEqual([
      "ended: ask the living 77",
      "committed: < C(COMMIT) Z(I) fail 57P01",
    ]);
  });

  it.each(["aborted", "neverHappened"] as const)(
    "hears of its end alone if that was %s",
    (fate) => {
      const script = committing(...asked("77"), cutShort)
        .endedOnPurpose()
        .fate(fate);
      expect(script.lines[1]).toBe(`${fate}: < E(57P01) close`);
    },
  );

  it("hears that it is not known, if it is not", () => {
    const script = committing(...asked("77"), endedInCommit)
      .endedOnPurpose()
      .fate("unknown");
    expect(script.lines[1]).toBe("unknown: fail 08007");
  });

  it("hears of its end alone where it wrote nothing, or the server had not come to it", () => {
    expect(committing(...asked(null), cutShort).endedOnPurpose().lines).toEqual([
      "ended: < E(57P01) close",
    ]);
    expect(committing(cutShort).endedOnPurpose().lines).toEqual(["ended: < E(57P01) close"]);
  });

  it("hears that its statement was committed, with its answer", () => {
    const script = new SurvivorScript().client(encodeQuery(insert));
    script.server(one(backend.parseComplete), one(backend.bindComplete), one(backend.noData));
    script.server(inserted, one(backend.closeComplete), ...queryAnswer("77"), endedInCommit);
    expect(script.forget().endedOnPurpose().fate("committed").lines).toEqual([
      "ended: ask the living 77",
      "committed: < C(INSERT 0 1) Z(I) fail 57P01",
    ]);
  });

  it("is in doubt where one Query may have committed more than once", () => {
    const script = new SurvivorScript().client(encodeQuery(`${insert}; commit; ${insert}`));
    script.server(inserted, cutShort).forget().endedOnPurpose();
    expect(script.lines).toEqual(["ended: fail 08007"]);
  });
});

describe("a Query of several statements whose server ends", () => {
  const query = (text: string, ...answers: Buffer[]): SurvivorScript =>
    new SurvivorScript()
      .client(encodeQuery(text))
      .server(...answers)
      .forget();
  const two = `${insert}; ${insert}`;

  it("before its last statement was rolled back: it is run again", () => {
    for (const answers of [[cutShort], [inserted, cutShort]]) {
      const script = query(two, ...answers)
        .lost()
        .connected();
      expect(script.lines).toEqual(["lost: reconnect", `connected: > Q(${two}) rerun`]);
    }
  });

  it("behind its last statement, or without a word, is in doubt", () => {
    const fatal = { S: "FATAL", V: "FATAL", C: "57P01", M: "no" };
    const elsewhere = report(backend.error, { ...fatal, R: "quickdie" });
    for (const answers of [[], [inserted], [inserted, inserted, cutShort], [inserted, elsewhere]]) {
      const script = query(two, ...answers).lost();
      expect(script.lines).toEqual(["lost: < E(08007) Z(I) reconnect"]);
    }
  });

  it.each([
    `${insert}; commit; ${insert}`,
    `${insert}; prepare transaction 'x'; ${insert}`,
    "do $$begin commit; end$$",
    "call p()",
    "vacuum",
  ])("is in doubt where it may have committed on its way: %s", (text) => {
    expect(query(text, cutShort).lost().lines).toEqual(["lost: < E(08007) Z(I) reconnect"]);
  });

  it("with rows told is 40001, and not run again", () => {
    const script = query(`select 1; ${insert}`, row("1"), cutShort);
    // What is told of it depends on how much of it was held.
    const lines = script.lost().lines;
    expect(["lost: reconnect", "lost: < E(40001) Z(I) reconnect"]).toContain(lines[0]);
  });

  it("hears that alone, if an operator ended it", () => {
    expect(query(two, inserted, cutShort).endedOnPurpose().lines).toEqual([
      "ended: < E(57P01) close",
    ]);
  });

  it("hears of another end that PostgreSQL keeps out of commits: transaction_timeout", () => {
    const timeout = { S: "FATAL", V: "FATAL", C: "25P04", M: "no", R: "ProcessInterrupts" };
    const script = new SurvivorScript().client(encodeQuery(two)).forget();
    script.server(inserted, report(backend.error, timeout));
    expect(script.lines).toEqual(["server: < E(25P04)"]);
    const after = new SurvivorScript().client(encodeQuery(two)).forget();
    after.server(inserted, inserted, report(backend.error, timeout));
    expect(after.lost().lines.at(-1)).toBe("lost: < E(08007) Z(I) reconnect");
  });
});

it("a session that has heard why its server ended is not judged, though it hides warnings", () => {
  const script = new SurvivorScript({ hidesWarnings: true }).client(encodeQuery(insert)).forget();
  const timeout = { S: "FATAL", V: "FATAL", C: "25P04", M: "no", R: "ProcessInterrupts" };
  expect(script.survivor.conversation.exchange.mayBeOnPurpose).toBe(true);
  script.server(report(backend.error, timeout));
  expect(script.survivor.conversation.exchange.mayBeOnPurpose).toBe(false);
  expect(script.lost().lines).toEqual(["server: < E(25P04)", "lost: close"]);
});

it("an error in a transaction is no end of the session", () => {
  const script = new SurvivorScript().inTransaction().client(encodeQuery("commit"));
  script.server(...asked("77"), failure("23503"), encodeReadyForQuery(idle));
  expect(script.lines.at(-1)).toBe("server: < E(23503) Z(I)");
  expect(open).not.toBe(idle);
});
