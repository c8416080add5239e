import { expect, test } from "vitest";
import { agentStatus, withUnreadable } from "./agent-status.ts";
import { instanceStatusSchema, unreadableMax } from "./messages.ts";

const agent = {
  id: "instance-1",
  role: "none",
  incarnation: 1,
  pid: 1,
  building: undefined,
  problem: undefined,
  nowMs: 0,
} as const;

test("figures for SQL are in it only where SQL shows them", () => {
  expect(agentStatus({ ...agent, own: undefined }).figures).toBeUndefined();
  const own = { sessionId: "s", cpu: 3 };
  const more = { receivedLsn: null, feedback: null };
  expect(agentStatus({ ...agent, own }).figures).toEqual({ ...own, ...more });
});

test("what it could not read of snapshots is in it, the newest alone, each once", () => {
  let unreadable: readonly string[] = [];
  for (const n of [...Array(unreadableMax + 3).keys(), 5]) {
    unreadable = withUnreadable(unreadable, `extents/${n}`);
    expect(instanceStatusSchema.parse(agentStatus({ ...agent, own: undefined, unreadable })));
  }
  expect(unreadable.length).toBe(unreadableMax);
  expect(unreadable.slice(-2)).toEqual([`extents/${unreadableMax + 2}`, "extents/5"]);
  const tooMany = { ...agent, own: undefined, unreadable: [...unreadable, "one more"] };
  expect(instanceStatusSchema.safeParse(agentStatus(tooMany)).success).toBe(false);
});
