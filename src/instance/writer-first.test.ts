import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { type RpcServer, realClock, serveRpc } from "../io/index.ts";
import type { InstanceStatus } from "./messages.ts";
import { letWriterGoFirst, type WriterFirstLimits } from "./writer-first-shell.ts";

let root: string;
let server: RpcServer | undefined;
/** What the writer's agent says, one after the other; the last for ever. */
let answers: Partial<InstanceStatus>[];
let asked: number;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "borealis-first-"));
  asked = 0;
});
afterEach(async () => {
  await server?.close();
  server = undefined;
  rmSync(root, { recursive: true, force: true });
});

const claiming = { role: "writer", state: "starting" } as const;
const recovering = { role: "writer", state: "recovering" } as const;
const open = { role: "writer", state: "available", isAdmitted: true } as const;
const none: InstanceStatus = {
  id: "instance-1",
  role: "none",
  state: "stopped",
  incarnation: 1,
  agentPid: 1,
  postgresPid: null,
  isAdmitted: false,
  epoch: 0,
  timeline: 0,
  vdl: null,
  vdlAtMs: null,
  replayLsn: null,
  lagMs: null,
  hasQuorum: false,
  restartLsn: null,
  stagedAt: null,
  opening: null,
  building: null,
  problem: null,
};

async function serveWriter(path: string): Promise<void> {
  server = await serveRpc(
    { kind: "unix", path },
    { status: () => ({ ...none, ...answers[Math.min(asked++, answers.length - 1)] }) },
  );
}

function wait(limits: WriterFirstLimits, name = "writer", signal = new AbortController().signal) {
  const path = join(root, name);
  return letWriterGoFirst({ writerAgentSocket: () => path, clock: realClock, signal, limits });
}

it("a reader goes on when the writer is open, not before", async () => {
  answers = [{}, claiming, recovering, recovering, open];
  await serveWriter(join(root, "writer"));
  await wait({ comingMs: 600_000, recoveringMs: 600_000 });
  expect(asked).toBe(5);
});

it("a writer that does not come is not waited for long", async () => {
  answers = [claiming];
  await serveWriter(join(root, "writer"));
  await wait({ comingMs: 0, recoveringMs: 600_000 });
  await wait({ comingMs: 0, recoveringMs: 600_000 }, "nobody");
});

it("a writer that recovers for ever is waited for no longer than that", async () => {
  answers = [recovering];
  await serveWriter(join(root, "writer"));
  await wait({ comingMs: 600_000, recoveringMs: 0 });
  expect(asked).toBe(1);
});

it("a reader that is stopped meanwhile waits no more", async () => {
  answers = [recovering];
  await serveWriter(join(root, "writer"));
  const stop = new AbortController();
  const limits = { comingMs: 600_000, recoveringMs: 600_000 };
  const waiting = wait(limits, "writer", stop.signal);
  stop.abort(new Error("stopped"));
  await expect(waiting).rejects.toThrow("stopped");
});
