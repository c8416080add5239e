import { describe, expect, it } from "vitest";
import { encodeParse, encodeSync, MessageScanner } from "../wire/index.ts";
import { Carrying } from "./carrying.ts";
import type { RestorePlan } from "./restore.ts";

function parsing(name: string, sql: string): Buffer {
  return Buffer.concat([encodeParse(name, sql), encodeSync()]);
}

function planOf(
  settings: readonly string[],
  statements: Readonly<Record<string, string>>,
): RestorePlan {
  return {
    cycles: [
      ...settings.map((sql) => ({ bytes: parsing("own", sql), what: "the settings" })),
      ...Object.entries(statements).map(([key, sql]) => ({
        bytes: parsing(key, sql),
        what: key,
        key,
      })),
    ],
  };
}

/** The letters of the messages, and the number of cycles. */
function shapeOf(carriage: ReturnType<Carrying["next"]>): string {
  if (!carriage) return "nothing";
  const scanner = new MessageScanner((_, total) => total);
  scanner.begin(carriage.bytes);
  let letters = "";
  while (scanner.next()) letters += String.fromCharCode(scanner.type);
  return `${letters} ${carriage.cycles} [${[...carriage.mayFail.keys()].join(" ")}]`;
}

const resets = "CPBECCS";

describe("what a second server is given of a session", () => {
  it("is everything at first, and nothing while nothing changes", () => {
    const carrying = new Carrying();
    const plan = planOf(["set a"], { s: "select 1" });
    expect(shapeOf(carrying.next(plan, true))).toBe("PSPS 2 [1]");
    expect(shapeOf(carrying.next(plan, false))).toBe("nothing");
  });

  it("is nothing for a session that has nothing", () => {
    expect(shapeOf(new Carrying().next(planOf([], {}), true))).toBe("nothing");
  });

  it("is all of it anew, after a reset, when a setting differs", () => {
    const carrying = new Carrying();
    carrying.next(planOf(["set a"], { s: "select 1" }), true);
    const next = carrying.next(planOf(["set b"], { s: "select 1" }), false);
    expect(shapeOf(next)).toBe(`${resets}PSPS 3 [2]`);
    expect(shapeOf(carrying.next(planOf([], {}), false))).toBe(`${resets} 1 []`);
  });

  it("is one statement when one was prepared, closed, or prepared anew", () => {
    const carrying = new Carrying();
    carrying.next(planOf(["set a"], { s: "select 1" }), true);
    expect(shapeOf(carrying.next(planOf(["set a"], { s: "select 1", n: "select 2" }), false))).toBe(
      "PS 1 [0]",
    );
    expect(shapeOf(carrying.next(planOf(["set a"], { n: "select 2" }), false))).toBe("CS 1 []");
    expect(shapeOf(carrying.next(planOf(["set a"], { n: "select 3" }), false))).toBe("CSPS 2 [1]");
  });

  it("is not what that server got first", () => {
    const carrying = new Carrying();
    carrying.next(planOf([], {}), true);
    carrying.note("s", parsing("s", "select 1"));
    expect(shapeOf(carrying.next(planOf([], { s: "select 1" }), false))).toBe("nothing");
    carrying.forget("s");
    expect(shapeOf(carrying.next(planOf([], {}), false))).toBe("nothing");
  });

  it("is another statement under the name of one that the server got first", () => {
    const carrying = new Carrying();
    carrying.next(planOf([], {}), true);
    carrying.note("s", parsing("s", "insert into a values (1)"));
    const plan = planOf([], { s: "insert into b values (1)" });
    expect(shapeOf(carrying.next(plan, false))).toBe("CSPS 2 [1]");
    expect(shapeOf(carrying.next(plan, false))).toBe("nothing");
  });

  it("is the unnamed statement whenever the plan has it: that server may have got another since", () => {
    const carrying = new Carrying();
    const plan = planOf(["set a"], { "": "insert into a values (1)" });
    expect(shapeOf(carrying.next(planOf(["set a"], {}), true))).toBe("PS 1 []");
    expect(shapeOf(carrying.next(plan, false))).toBe("PS 1 [0]");
    expect(shapeOf(carrying.next(plan, false))).toBe("PS 1 [0]");
    expect(shapeOf(carrying.next(planOf(["set a"], {}), false))).toBe("nothing");
  });

  it("is a statement again that could not be made there", () => {
    const carrying = new Carrying();
    const plan = planOf([], { s: "select 1 from gone" });
    carrying.next(plan, true);
    carrying.forget("s");
    expect(shapeOf(carrying.next(plan, false))).toBe("PS 1 [0]");
  });
});
