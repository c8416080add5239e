import { expect, test } from "vitest";
import { agentStatus } from "./agent-status.ts";

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
