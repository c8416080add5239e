import { describe, expect, it } from "vitest";
import { frontend, MessageScanner } from "../wire/index.ts";
import { blank, type Carried, hasOtherRole, mayTakeOver, planHandover } from "./handover.ts";
import type { Prepared } from "./prepared-book.ts";
import type { Wanted } from "./restore.ts";

const parsed = (name: string, text: string, facts: Partial<Prepared> = {}): [string, Prepared] => [
  name,
  { source: Buffer.from(`${name}\0${text}\0\0\0`), reading: undefined, searchPath: null, ...facts },
];
const wants = (facts: Partial<Wanted> = {}): Wanted => ({
  loads: [],
  settings: [],
  prepared: [],
  channels: [],
  ...facts,
});
const has = (facts: Partial<Carried> = {}): Carried => ({ ...blank, ...facts });

/** What is sent, as "C(name) P(text) set(a=1,b=null) DISCARD ALL": one part for each message that matters. */
function shown(wanted: Wanted, carried: Carried, skipsUnnamed = false): string[] {
  const parts: string[] = [];
  for (const { bytes } of planHandover(wanted, carried, { skipsUnnamed }).cycles) {
    const scanner = new MessageScanner((_, totalBytes) => totalBytes);
    scanner.begin(bytes);
    while (scanner.next()) {
      const body = scanner.buffer.subarray(scanner.start + 5, scanner.end).toString("latin1");
      if (scanner.type === frontend.close && !body.includes("borealis"))
        parts.push(`close ${body.slice(1, -1)}`);
      else if (scanner.type === frontend.query) parts.push(body.slice(0, -1));
      else if (scanner.type === frontend.parse) parts.push(textOf(body));
    }
  }
  return parts;
}

function textOf(body: string): string {
  const [name = "", sql = ""] = body.split("\0");
  const json = /set_config.*decode\('([0-9a-f]*)'/.exec(sql)?.[1];
  if (json !== undefined) return `set ${Buffer.from(json, "hex").toString()}`;
  return name.startsWith("borealis") ? sql : `parse ${name}: ${sql}`;
}

describe("a connection that is handed over", () => {
  it("needs nothing where the two sessions have the same", () => {
    const prepared = [parsed("q", "select 1"), parsed("r", "select 2")];
    const settings = [
      ["work_mem", "5120"],
      ["role", "none"],
    ] as const;
    const carried = has({ settings: new Map([["work_mem", "5120"]]), prepared: new Map(prepared) });
    // Equal, and not the same objects.
    const mine = [parsed("q", "select 1"), parsed("r", "select 2")];
    expect(shown(wants({ settings, prepared: mine }), carried)).toEqual([]);
    expect(shown(wants(), blank)).toEqual([]);
  });

  it("loses the settings of the one and gets those of the other", () => {
    const carried = has({
      settings: new Map([
        ["work_mem", "5120"],
        ["DateStyle", "German"],
        ["jit", "off"],
      ]),
    });
    const settings = [
      ["work_mem", "4096"],
      ["jit", "off"],
      ["TimeZone", "CET"],
    ] as const;
    expect(shown(wants({ settings }), carried)).toEqual([
      'set [["work_mem","4096"]]',
      'set [["DateStyle",null],["TimeZone","CET"]]',
    ]);
  });

  it("loses a timeout before anything else is done, and gets one last", () => {
    const carried = has({ settings: new Map([["statement_timeout", "1"]]) });
    const settings = [["statement_timeout", "2"]] as const;
    const prepared = [parsed("q", "select 1")];
    expect(shown(wants({ settings, prepared }), carried)).toEqual([
      'set [["statement_timeout",null]]',
      "parse q: select 1",
      'set [["statement_timeout","2"]]',
    ]);
  });

  it("loses the statements of the one that the other has not, or has otherwise", () => {
    const carried = has({
      prepared: new Map([
        parsed("q", "select 1"),
        parsed("r", "select 2"),
        parsed("s", "select 3"),
      ]),
    });
    const prepared = [parsed("q", "select 1"), parsed("r", "select 22"), parsed("t", "select 4")];
    expect(shown(wants({ prepared }), carried)).toEqual([
      "close r",
      "close s",
      "parse r: select 22",
      "parse t: select 4",
    ]);
  });

  it("tells a statement that was read otherwise from the same text", () => {
    const theirs = parsed("q", "select '\\'", {
      reading: new Map([["standard_conforming_strings", "off"]]),
    });
    const mine = parsed("q", "select '\\'", {
      reading: new Map([["standard_conforming_strings", "on"]]),
    });
    const sent = shown(wants({ prepared: [mine] }), has({ prepared: new Map([theirs]) }));
    expect(sent[0]).toBe("close q");
    expect(sent).toContain("parse q: select '\\'");
  });

  it("keeps its unnamed statement, or not, where the taker's first message replaces that", () => {
    const carried = has({ prepared: new Map([parsed("", "select 1")]) });
    const prepared = [parsed("", "select 2")];
    expect(shown(wants({ prepared }), carried, true)).toEqual([]);
    expect(shown(wants({ prepared }), carried)).toEqual(["close ", "parse : select 2"]);
    expect(shown(wants(), carried)).toEqual(["close "]);
  });

  it("makes statements anew that may be refused", () => {
    const prepared = [parsed("q", "select 1")];
    const carried = has({ prepared: new Map([parsed("q", "select 1")]), isStale: true });
    expect(shown(wants({ prepared }), carried)).toEqual(["close q", "parse q: select 1"]);
  });

  it("forgets what was drawn from sequences", () => {
    expect(shown(wants(), has({ hasDrawn: true }))).toEqual(["DISCARD SEQUENCES"]);
  });

  it("is rid of what code may have done unseen, and then gets all settings of the other", () => {
    const settings = [["work_mem", "4096"]] as const;
    const prepared = [parsed("q", "select 1")];
    const carried = has({
      isDoubtful: true,
      settings: new Map(settings),
      prepared: new Map([parsed("q", "select 1")]),
    });
    const sent = shown(wants({ settings, prepared }), carried);
    expect(sent).toContain("RESET ALL");
    expect(sent).toContain("UNLISTEN *");
    expect(sent.at(-1)).toBe('set [["work_mem","4096"]]');
  });

  it("is emptied as a whole where either has another role than its login", () => {
    const settings = [
      ["work_mem", "4096"],
      ["role", "none"],
    ] as const;
    const left = has({ hasOtherRole: true, settings: new Map([["work_mem", "4096"]]) });
    expect(shown(wants({ settings }), left)).toEqual([
      "DISCARD ALL",
      'set [["work_mem","4096"],["role","none"]]',
    ]);
    const asAnother = [["role", "app"]] as const;
    expect(shown(wants({ settings: asAnother }), blank)).toEqual([
      "DISCARD ALL",
      'set [["role","app"]]',
    ]);
  });

  it("is made ready without the other's timeouts, and without its own", () => {
    const left = has({ hasDrawn: true, settings: new Map([["statement_timeout", "1"]]) });
    expect(shown(wants({ settings: [["statement_timeout", "1"]] }), left)).toEqual([
      'set [["statement_timeout",null]]',
      "DISCARD SEQUENCES",
      'set [["statement_timeout","1"]]',
    ]);
    expect(shown(wants({}), left)).toEqual([
      'set [["statement_timeout",null]]',
      "DISCARD SEQUENCES",
    ]);
  });
});

describe("a session's role", () => {
  it("is another one by SET ROLE and by SET SESSION AUTHORIZATION", () => {
    expect(
      hasOtherRole({
        settings: [
          ["role", "none"],
          ["jit", "on"],
        ],
      }),
    ).toBe(false);
    expect(hasOtherRole({ settings: [["role", "app"]] })).toBe(true);
    expect(
      hasOtherRole({
        settings: [
          ["session_authorization", "app"],
          ["role", "none"],
        ],
      }),
    ).toBe(true);
  });
});

describe("a connection on which settings with a prefix exist", () => {
  it("is for those who have all of them", () => {
    const carried = has({ customNames: new Set(["my.a", "my.b"]) });
    const mine = new Set(["my.a"]);
    expect(mayTakeOver(carried, (name) => mine.has(name))).toBe(false);
    mine.add("my.b").add("my.c");
    expect(mayTakeOver(carried, (name) => mine.has(name))).toBe(true);
    expect(mayTakeOver(blank, () => false)).toBe(true);
  });
});
