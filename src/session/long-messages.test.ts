/** Messages that are longer than what is looked at of them, at every place where such a one may come by. */
import { beforeAll, describe, expect, it } from "vitest";
import { loadParser } from "../route/index.ts";
import type { Connection } from "../io/index.ts";
import {
  backend,
  encodeDataRow,
  encodeMessage,
  encodeParameterStatus,
  encodeReadyForQuery,
  parseReportHead,
  transactionState,
} from "../wire/index.ts";
import { aBook, report } from "../../test/helpers/session-script.ts";
import { watchFree } from "./free-server-shell.ts";
import { PreparedBook } from "./prepared-book.ts";
import { Restoration } from "./restoration.ts";
import { type OwnAnswer, SideAnswers } from "./switch-answers.ts";
import { goingOn } from "./resume.ts";

beforeAll(loadParser);

const ready = encodeReadyForQuery(transactionState.idle);
const errorOf = (length: number, severity = "ERROR"): Buffer =>
  report(backend.error, { S: severity, V: severity, C: "P0001", M: "x".repeat(length) });
const searchPath = (length: number): Buffer =>
  encodeParameterStatus("search_path", "s".repeat(length));

function* chunksOf(bytes: Buffer, size = 65_536): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

describe("the beginning of a report", () => {
  it("has the fields that are whole in it", () => {
    const body = errorOf(100).subarray(5);
    const codes = new Set<string | undefined>();
    for (let end = 0; end <= body.length; end++) {
      const head = parseReportHead(body.subarray(0, end));
      codes.add(head.get("C"));
      expect(head.has("M")).toBe(end >= body.length - 1);
    }
    expect([...codes]).toEqual([undefined, "P0001"]);
  });
});

describe("a side of a switchboard", () => {
  const heard = (dropsAsides: boolean) => {
    const told: Buffer[] = [];
    const asides: Buffer[] = [];
    const answers = new SideAnswers(
      {
        tell: (bytes) => told.push(Buffer.from(bytes)),
        tellAside: (bytes) => asides.push(bytes),
        substituteFor: () => undefined,
        passed: () => undefined,
        ready: () => undefined,
      },
      { dropsAsides },
    );
    const push = (bytes: Buffer): void => {
      for (const chunk of chunksOf(bytes)) answers.push(chunk);
    };
    return { answers, push, asides, told: () => Buffer.concat(told) };
  };

  it("passes a long error on as it is", () => {
    const { push, told } = heard(false);
    const bytes = Buffer.concat([errorOf(70_000), ready]);
    push(bytes);
    expect(told().equals(bytes)).toBe(true);
  });

  it("passes a long parameter on where it is the client's, and no part of it where it is not", () => {
    const reader = heard(false);
    const writer = heard(true);
    const bytes = Buffer.concat([searchPath(70_000), ready]);
    reader.push(bytes);
    writer.push(bytes);
    expect(reader.told().equals(bytes)).toBe(true);
    expect(writer.told().equals(ready)).toBe(true);
    expect([...reader.asides, ...writer.asides]).toEqual([]);
  });

  it("passes last words on that are long, though a question of ours is under way", () => {
    const { answers, push, told } = heard(false);
    answers.ask(1, () => undefined);
    const bytes = errorOf(70_000, "FATAL");
    push(bytes);
    expect(told().equals(bytes)).toBe(true);
  });

  it("hears the code of a long error that answers us, and no row that is too long", () => {
    const { answers, push, told } = heard(true);
    let answer: OwnAnswer | undefined;
    answers.ask(2, (given) => (answer = given));
    push(Buffer.concat([errorOf(70_000), ready, encodeDataRow(["x".repeat(200_000)]), ready]));
    expect(answer?.errors.get(0)).toEqual({ code: "P0001", message: "" });
    expect(answer?.row).toBeUndefined();
    expect(told()).toHaveLength(0);
  });
});

describe("a session that is made again", () => {
  it("hears the code of a long error, and lets a long parameter pass", () => {
    let codes: ReadonlyMap<number, string> | undefined;
    const memory = aBook({
      restore: () => ({ cycles: [{ bytes: Buffer.from("x"), what: "it", key: "a" }] }),
      restored: (_, given) => {
        codes = given;
        return undefined;
      },
    });
    const restoration = new Restoration(memory, goingOn(undefined, []));
    const parameters = new Map<string, string>();
    const rest = [
      ...chunksOf(Buffer.concat([searchPath(9_000), errorOf(9_000), ready]), 4_096),
    ].map((chunk) => restoration.push(chunk, parameters));
    expect(rest.at(-1)).toHaveLength(0);
    restoration.problem();
    expect(codes).toEqual(new Map([[0, "P0001"]]));
    expect(parameters.size).toBe(0);
  });
});

describe("a server that nobody has", () => {
  it("may tell of a long parameter", () => {
    let say: (chunk: Buffer) => void = () => undefined;
    const connection = {
      onDrain: () => undefined,
      onEnd: () => undefined,
      onClose: () => undefined,
      onData: (handler: (chunk: Buffer) => void) => (say = handler),
    } as unknown as Connection;
    const parameters = new Map<string, string>();
    watchFree(connection, parameters, () => undefined);
    for (const chunk of chunksOf(searchPath(20_000), 10_000)) say(chunk);
    say(encodeParameterStatus("TimeZone", "UTC"));
    expect([...parameters]).toEqual([["TimeZone", "UTC"]]);
  });
});

describe("a book of prepared statements", () => {
  const megabytes = "x".repeat(9_000_000);

  it("reads a text of megabytes", () => {
    const book = new PreparedBook(64 * 1024 * 1024);
    const sql = `prepare _1 as select 1 /*${megabytes}*/`;
    expect(book.reconcile([{ name: "_1", sql }], new Map(), null)).toBeUndefined();
    expect(book.find("_1")).toEqual({ source: sql, reading: undefined, searchPath: null });
    const message = encodeMessage(0x50, (body) => body.cString("_2").cString(sql).u16(0));
    book.parsed("_2", message.subarray(5), new Map(), null);
    expect(book.find("_2")).toMatchObject({ reading: undefined });
  });

  it.each([
    ['select 1, $1 + "a"', true],
    ["select $$a$$", false],
    ["select 1 as a$", false],
    ["select 'a'", false],
    ["select \\", false],
    ["select ä", false],
    ["select \x7f", false],
  ])("%s depends on no setting: %s", (text, isPlain) => {
    const book = new PreparedBook(1024);
    const sql = `prepare a as ${text}`;
    book.reconcile([{ name: "a", sql }], new Map([["DateStyle", "ISO"]]), null);
    expect(book.find("a")).toMatchObject({
      source: sql,
      reading: isPlain ? undefined : new Map([["DateStyle", "ISO"]]),
    });
  });

  it("keeps nothing that would run another statement, too", () => {
    const book = new PreparedBook(64 * 1024 * 1024);
    const sql = `insert into t values (1); prepare a as select 1 /*${megabytes}*/`;
    book.reconcile([{ name: "a", sql }], new Map(), null);
    expect(book.find("a")).toBe("tooLong");
    expect(book.hasTooLong).toBe(true);
  });
});
