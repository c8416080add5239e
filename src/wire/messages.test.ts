import { serialize } from "pg-protocol";
import { Parser } from "pg-protocol/dist/parser.js";
import { describe, expect, it } from "vitest";
import { BorealisError } from "../base/errors.ts";
import {
  encodeAuthenticationOk,
  encodeBackendKey,
  encodeBind,
  encodeCancelRequest,
  encodeClose,
  encodeCommandComplete,
  encodeDataRow,
  encodeDescribe,
  encodeError,
  encodeExecute,
  encodeFunctionCall,
  encodeNegotiateVersion,
  encodeParameterStatus,
  encodeParse,
  encodeQuery,
  encodeReadyForQuery,
  encodeRowDescription,
  encodeSaslRequest,
  encodeSync,
  findBindNames,
  findExecutePortal,
  findStartupPacket,
  findTarget,
  parseBackendKey,
  parseDataRow,
  parseParameterStatus,
  parseReport,
  parseSaslInitialResponse,
  parseTextOf,
  queryTextOf,
  transactionState,
} from "./index.ts";

describe("what a client sends", () => {
  it.each([
    ["Query", encodeQuery("select 'é'"), serialize.query("select 'é'")],
    ["Parse", encodeParse("n", "select 1"), serialize.parse({ name: "n", text: "select 1" })],
    ["Describe", encodeDescribe("portal", ""), serialize.describe({ type: "P", name: "" })],
    ["Close", encodeClose("statement", "n"), serialize.close({ type: "S", name: "n" })],
    ["Execute", encodeExecute("p"), serialize.execute({ portal: "p", rows: 0 })],
    ["Sync", encodeSync(), serialize.sync()],
  ])("%s is the bytes that pg-protocol writes", (_, ours, theirs) => {
    expect(ours).toEqual(theirs);
  });

  it("reads names and texts back", () => {
    expect(findBindNames(encodeBind("p", "s").subarray(5))).toEqual({
      portal: "p",
      statement: "s",
    });
    expect(findBindNames(Buffer.from("p\0s"))).toBeUndefined();
    expect(findExecutePortal(encodeExecute("p").subarray(5))).toBe("p");
    expect(findTarget(encodeClose("statement", "n").subarray(5))).toEqual({
      target: "statement",
      name: "n",
    });
    expect(parseTextOf(encodeParse("n", "select '€'").subarray(5))).toBe("select '€'");
    expect(queryTextOf(encodeQuery("select '€'").subarray(5))).toBe("select '€'");
  });

  it("calls a function by OID with text arguments", () => {
    expect(encodeFunctionCall(2077, ["ab"]).toString("hex")).toBe(
      "46000000140000081d00000001000000026162" + "0000",
    );
  });

  it("carries cancel keys of any length", () => {
    const key = Buffer.alloc(32, 9);
    expect(findStartupPacket(encodeCancelRequest(7, key))?.packet).toEqual({
      kind: "cancel",
      pid: 7,
      key,
    });
  });

  it("refuses a SASL response that is longer than it says", () => {
    expect(() => parseSaslInitialResponse(Buffer.from("X\0\0\0\0\x01abc"))).toThrow("too many");
    expect(() => parseSaslInitialResponse(Buffer.from("X\0\xff\xff\xff\xff", "latin1"))).toThrow(
      "first message",
    );
    expect(() => parseSaslInitialResponse(Buffer.from("X\0\0\0\0\x09abc"))).toThrow(
      "needs 9 bytes",
    );
  });
});

/** What pg-protocol's parser makes of it. */
function read(bytes: Buffer): Record<string, unknown>[] {
  const messages: Record<string, unknown>[] = [];
  new Parser().parse(bytes, (message) => messages.push({ ...message }));
  return messages;
}

describe("what a server sends", () => {
  it("is what pg-protocol reads", () => {
    const bytes = Buffer.concat([
      encodeAuthenticationOk(),
      encodeSaslRequest(["SCRAM-SHA-256"]),
      encodeParameterStatus("TimeZone", "UTC"),
      encodeBackendKey({ pid: 5, key: Buffer.from([0, 0, 0, 6]) }),
      encodeRowDescription([{ name: "a" }]),
      encodeDataRow(["é€", null]),
      encodeCommandComplete("SELECT 1"),
      encodeReadyForQuery(transactionState.open),
    ]);
    expect(read(bytes)).toMatchObject([
      { name: "authenticationOk" },
      { name: "authenticationSASL", mechanisms: ["SCRAM-SHA-256"] },
      { parameterName: "TimeZone", parameterValue: "UTC" },
      { processID: 5, secretKey: 6 },
      { fieldCount: 1 },
      { fields: ["é€", null] },
      { text: "SELECT 1" },
      { status: "T" },
    ]);
  });

  it("reads back what it wrote", () => {
    expect(parseDataRow(encodeDataRow(["é€", null, ""]).subarray(5))).toEqual(["é€", null, ""]);
    expect(parseParameterStatus(encodeParameterStatus("a", "b").subarray(5))).toEqual({
      name: "a",
      value: "b",
    });
    const key = { pid: 1, key: Buffer.alloc(32, 3) };
    expect(parseBackendKey(encodeBackendKey(key).subarray(5))).toEqual(key);
  });

  it("encodes errors with code, detail and hint", () => {
    const error = new BorealisError("0A000", "no", { detail: "why", hint: "do" });
    const fields = parseReport(encodeError(error, "FATAL").subarray(5));
    expect(Object.fromEntries(fields)).toEqual({
      S: "FATAL",
      V: "FATAL",
      C: "0A000",
      M: "no",
      D: "why",
      H: "do",
    });
  });

  it("shows nothing of an error that is not ours", () => {
    const fields = parseReport(encodeError(new Error("secret"), "ERROR").subarray(5));
    expect(fields.get("C")).toBe("XX000");
    expect(fields.get("M")).not.toContain("secret");
  });

  it("names the version and the options that it does not know", () => {
    expect(encodeNegotiateVersion(2, ["_pq_.x"]).toString("hex")).toBe(
      "7600000013" + "00030002" + "00000001" + Buffer.from("_pq_.x\0").toString("hex"),
    );
  });
});
