/**
 * The running cluster under a seeded storm: processes killed and frozen, links cut, stalled and slowed, while clients count
 * registers up. Afterwards everything must be well again by itself, and every answer part of one history.
 * BOREALIS_TORTURE_SECONDS and BOREALIS_TORTURE_SEED make it longer, or the same again.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runtimeDirOf } from "../../src/cluster/layout.ts";
import { type Rng, seededRng } from "../../src/base/rng.ts";
import { commandLine, TestCluster, until } from "../helpers/cluster.ts";
import { LinkShim } from "../helpers/link-shim.ts";
import { contradictionsIn, type Operation, Registers } from "../helpers/registers.ts";

const seconds = Number(process.env["BOREALIS_TORTURE_SECONDS"] ?? 40);
const seed = Number(
  process.env["BOREALIS_TORTURE_SEED"] ?? Math.floor(Date.now() / 1000) % 1_000_000,
);

let cluster: TestCluster;
let shim: LinkShim;
const told: string[] = [];
const frozen = new Set<number>();

beforeAll(async () => {
  cluster = await TestCluster.create();
  const uid = process.getuid?.() ?? 0;
  shim = new LinkShim(runtimeDirOf(tmpdir(), uid, cluster.dataDir));
  await shim.insert();
});
afterAll(async () => {
  thawAll();
  shim.remove();
  await cluster.destroy();
});

function thawAll(): void {
  for (const pid of frozen) if (commandLine(pid) !== "") process.kill(pid, "SIGCONT");
  frozen.clear();
}

function pick<T>(rng: Rng, from: readonly T[]): T | undefined {
  return from[rng.below(from.length)];
}

/** Pids by name, without a question to a cluster that may be frozen: from /proc. */
function processesByName(): Map<string, number> {
  const found = new Map<string, number>();
  for (const pid of cluster.processesLeft()) {
    const line = commandLine(pid);
    const name = /(?:az\d-(?:full|tail)|instance-\d+|proxy|control-plane)/.exec(line)?.[0];
    if (name !== undefined && pid !== cluster.supervisorPid) found.set(`${name}#${pid}`, pid);
  }
  return found;
}

function kill(rng: Rng): string {
  const [name, pid] = pick(rng, [...processesByName()]) ?? ["nobody", undefined];
  if (pid !== undefined) process.kill(pid, "SIGKILL");
  return `kill ${name}`;
}

async function freeze(rng: Rng): Promise<string> {
  const [name, pid] = pick(rng, [...processesByName()]) ?? ["nobody", undefined];
  const ms = 100 + rng.below(4_000);
  if (pid === undefined) return "freeze nobody";
  process.kill(pid, "SIGSTOP");
  frozen.add(pid);
  void delay(ms).then(() => {
    if (frozen.delete(pid) && commandLine(pid) !== "") process.kill(pid, "SIGCONT");
  });
  return `freeze ${name} for ${ms} ms`;
}

async function disturbLinks(rng: Rng): Promise<string> {
  const name = pick(rng, shim.names);
  if (name === undefined) return "no links";
  const ms = 100 + rng.below(4_000);
  const way = pick(rng, ["both", "deaf", "mute"] as const) ?? "both";
  const faults = [
    { kind: "cut" },
    { kind: "stall", way },
    { kind: "delay", ms: 1 + rng.below(100) },
  ] as const;
  const fault = pick(rng, faults) ?? faults[0];
  shim.set(name, fault);
  void delay(ms).then(() => shim.set(name, { kind: "pass" }));
  return `${fault.kind} ${fault.kind === "stall" ? way : ""} ${name} for ${ms} ms`;
}

async function storm(rng: Rng): Promise<void> {
  const endMs = performance.now() + seconds * 1_000;
  const faults = [kill, freeze, freeze, disturbLinks, disturbLinks, disturbLinks];
  while (performance.now() < endMs) {
    const fault = pick(rng, faults);
    if (fault) told.push(`${Math.round(performance.now())} ${await fault(rng)}`);
    await delay(100 + rng.below(1_500));
  }
}

/** Where a person can read what happened, if it went wrong. */
function keepLog(name: string, lines: readonly string[]): void {
  const dir = join(import.meta.dirname, "..", "..", "sim-failures");
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, name), lines.join("\n"));
}

describe("the check of a history", () => {
  const write = (value: number, token: string, at: number): Operation => {
    return { kind: "write", endpoint: "writer", key: 1, token, startMs: at, endMs: at + 1, value };
  };
  const read = (value: number, token: string, at: number): Operation => {
    return { ...write(value, token, at), kind: "read" };
  };
  const kept = [
    { key: 1, value: 1, token: "a" },
    { key: 1, value: 2, token: "b" },
  ];
  const told = [write(1, "a", 0), read(1, "a", 2), write(2, "b", 4), read(2, "b", 6)];

  it.each([
    ["nothing in a true one", told, kept, undefined],
    [
      "an answered write that is gone",
      told,
      kept.slice(0, 1),
      /write on writer: 1 = 2 by b, is und/,
    ],
    ["a value shown that never was", [...told, read(3, "c", 8)], kept, /read on writer: 1 = 3/],
    ["two writes that were given one value", [...told, write(2, "c", 8)], kept, /by c, is b/],
    ["a read that missed what was answered before", [...told, read(1, "a", 8)], kept, /stale read/],
    ["a hole", told, kept.slice(1), /hole before 2/],
    ["a write applied twice", told, [...kept, { key: 1, value: 3, token: "b" }], /or twice: b/],
  ])("finds %s", (_what, operations, left, expected) => {
    const found = contradictionsIn(operations, left);
    if (expected) expect(found.join("\n")).toMatch(expected);
    else expect(found).toEqual([]);
  });
});

describe(`a storm of ${seconds} s, seed ${seed}`, () => {
  it(
    "leaves one history, and a cluster that is well by itself",
    async () => {
      const registers = new Registers(cluster, { seed });
      await registers.start();
      await storm(seededRng(seed));
      shim.heal();
      thawAll();
      const before = registers.answeredWrites;
      try {
        await until(
          "the cluster is well again",
          async () => {
            const { cluster: facts, storage, instances } = await cluster.status();
            return (
              facts.state === "available" &&
              storage.every((row) => row.state === "up") &&
              instances.every((row) => row.state === "available") &&
              registers.answeredWrites > before + 20
            );
          },
          120_000,
        );
        await registers.stop();
        const found = await registers.contradictions();
        expect(found).toEqual([]);
      } catch (error) {
        keepLog(`torture-${seed}.log`, told);
        throw error;
      }
      expect(shim.bytes).toBeGreaterThan(100_000);
      expect(registers.answeredWrites).toBeGreaterThan(100);
      expect(registers.answeredReads).toBeGreaterThan(100);
      const errors = readFileSync(join(cluster.dataDir, "log", "control-plane.log"), "utf8");
      expect(errors).not.toContain("invariant.broken");
      console.log(
        `${told.length} faults, ${registers.answeredWrites} writes and ${registers.answeredReads} reads ` +
          `answered, ${registers.unanswered} without an answer`,
      );
    },
    seconds * 1_000 + 200_000,
  );
});
