import { describe, expect, it } from "vitest";
import { faultSchema, type RequestAnswer } from "./fault-messages.ts";
import { isRequestName, readRequest, withAnswer } from "./requests.ts";

const id = "11111111-2222-4333-8444-555555555555";
const nowMs = Date.UTC(2026, 0, 1);
const of = "v/instance-1";
const fault = { kind: "crash", what: "node" };
const request = { id, of, atMs: nowMs - 100, user: "postgres", fault };

function file(value: unknown): string {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return `${Buffer.from(text).toString("hex")}\n`;
}

describe("a request's file", () => {
  it("is known by its name", () => {
    expect(isRequestName(`borealis_request_${id}`)).toBe(true);
    for (const name of [
      "",
      "borealis_request_",
      `borealis_request_../${id}`,
      `.borealis_request_${id}`,
      `borealis_request_${id}~`,
    ])
      expect(isRequestName(name), name).toBe(false);
  });

  it("is read when it is whole: cut anywhere it is not", () => {
    const text = file(request);
    for (let end = 0; end < text.length; end++)
      expect(readRequest(text.slice(0, end), { of, nowMs }).kind).toBe("partial");
    expect(readRequest(text, { of, nowMs })).toEqual({ kind: "request", request });
  });

  it.each<[string, unknown]>([
    ["no JSON", "{"],
    ["null", null],
    ["no request", {}],
    ["a number that is none", { ...request, id: 7 }],
    ["a user of a megabyte", { ...request, user: "x".repeat(1_000_000) }],
    ["another instance's, in a copy of its cache", { ...request, of: "v/instance-2" }],
    ["another volume's", { ...request, of: "w/instance-1" }],
    ["an old one", { ...request, atMs: nowMs - 16_000 }],
    ["one of tomorrow", { ...request, atMs: nowMs + 86_400_000 }],
  ])("is nobody's business with %s", (_what, value) => {
    expect(readRequest(file(value), { of, nowMs }).kind).toBe("stray");
  });
});

describe("a fault", () => {
  const disk = {
    kind: "diskCongestion",
    percent: 50.5,
    seconds: 10,
    index: 0,
    isDisk: false,
    minMs: 0,
    maxMs: 100,
  };
  it.each([
    fault,
    { kind: "replicaFailure", percent: 100, seconds: 1, replica: "" },
    { ...disk, kind: "diskFailure" },
    disk,
  ])("is taken as it is: $kind", (one) => {
    expect(faultSchema.safeParse(one).success).toBe(true);
  });

  it.each<object>([
    { kind: "crash", what: "cluster" },
    { kind: "fire" },
    { ...disk, percent: -0.1 },
    { ...disk, percent: 100.1 },
    { ...disk, percent: "50" },
    { ...disk, seconds: 0 },
    { ...disk, seconds: 1.5 },
    { ...disk, seconds: 2 ** 31 },
    { ...disk, index: -1 },
    { ...disk, isDisk: 1 },
    { ...disk, maxMs: 101 },
    { ...disk, minMs: 5, maxMs: 5 },
    { kind: "replicaFailure", percent: 1, seconds: 1, replica: "x".repeat(64) },
  ])("is not taken out of range: %j", (one) => {
    expect(faultSchema.safeParse(one).success).toBe(false);
  });
});

it("of answers the newest are shown", () => {
  let answers: readonly RequestAnswer[] = [];
  for (let i = 0; i < 40; i++)
    answers = withAnswer(answers, { id: String(i), done: "done", error: null });
  expect(answers.map((one) => one.id)).toEqual(
    Array.from({ length: 16 }, (_, i) => String(24 + i)),
  );
});
