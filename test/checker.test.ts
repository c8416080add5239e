/**
 * Sessions of every kind on a running cluster while everything that can fail does: every answer is written down, and at the end
 * all of them together must be one true history. Two minutes of it in `npm test`, with BOREALIS_CHECK_MINUTES=60 an hour.
 * BOREALIS_SEED strikes with the same faults at the same moments again.
 */
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Chaos } from "./helpers/chaos.ts";
import { scheduleOf } from "./helpers/chaos-schedule.ts";
import { accounts, balance, CheckerSessions, readFinal } from "./helpers/checker-sessions.ts";
import { TestCluster, until } from "./helpers/cluster.ts";
import { History } from "./helpers/history.ts";
import { type Contradiction, contradictionsIn } from "./helpers/history-checks.ts";
import { around, figuresOf, told, unknownCount } from "./helpers/history-figures.ts";

const minutes = Number(process.env["BOREALIS_CHECK_MINUTES"] ?? 2);
const chaosMs = minutes * 60_000;
const seed = Number(process.env["BOREALIS_SEED"] ?? Date.now() % 1_000_000);
/** The default of session.holdTimeoutMs. */
const holdMs = 30_000;

let cluster: TestCluster;
let chaos: Chaos;

/** By the proxy's own count, which it tells when it stops: how losses of servers ended, and which errors it told. */
function countedByTheProxy(): { outcomes: Map<string, number>; errors: Map<string, number> } {
  const lines = readFileSync(join(cluster.dataDir, "log", "proxy.log"), "utf8")
    .trim()
    .split("\n");
  const stops = lines.filter((line) => line.includes('"event":"proxy.stopping"'));
  expect(stops, "it has run all the time").toHaveLength(1);
  const { outcomes, errors } = JSON.parse(stops[0] ?? "") as Record<
    "outcomes" | "errors",
    Record<string, number>
  >;
  return {
    outcomes: new Map(Object.entries(outcomes)),
    errors: new Map(Object.entries(errors)),
  };
}

/** What no client may hear in any number: of reads, which can be run again, of closed sockets, and of logins. */
function unboundedIn({ writes, failedReads, refusedConnections }: History): string[] {
  const others = (of: Iterable<string>, known: readonly string[]): string[] =>
    [...of].filter((outcome) => !known.includes(outcome));
  const closed = writes.flatMap(({ outcome }) => (outcome === "closed" ? [outcome] : []));
  return [
    ...others(failedReads.keys(), ["40001", "57P03"]).map((one) => `a read: ${one}`),
    ...others(refusedConnections.keys(), ["57P03"]).map((one) => `a login: ${one}`),
    ...closed.map((one) => `a write: ${one}`),
  ];
}

/** Where a person can read what happened, if it went wrong. */
function keep(history: History, contradictions: readonly Contradiction[]): void {
  const dir = join(import.meta.dirname, "..", "sim-failures");
  mkdirSync(dir, { recursive: true });
  const lines = contradictions.slice(0, 50).flatMap((one) => around(history, chaos.story, one));
  const all = [...lines, "## All that was done", ...chaos.story];
  writeFileSync(join(dir, `checker-${seed}.log`), `${all.join("\n")}\n`);
  cpSync(join(cluster.dataDir, "log"), join(dir, `checker-${seed}`), { recursive: true });
}

describe(`sessions under ${minutes} minutes of faults, BOREALIS_SEED=${seed}`, () => {
  beforeAll(async () => {
    cluster = await TestCluster.create();
    chaos = new Chaos(cluster);
  });
  afterAll(async () => {
    chaos.thawAll();
    await cluster.destroy();
  });

  it(
    "are told one history that is true",
    async () => {
      console.log(`BOREALIS_SEED=${seed}`);
      const history = new History();
      const sessions = new CheckerSessions(cluster, history, {
        seed,
        ofEachKind: 3,
        pauseMs: 40,
      });
      await sessions.start();
      await chaos.run(scheduleOf(seed, chaosMs));
      await chaos.heal();
      const healedMs = performance.now();
      let found: Contradiction[] = [];
      try {
        // A reader that was killed last replays over hundreds of timelines after an hour, a segment for each.
        await cluster.untilEverybody(minutes > 10 ? 600_000 : 120_000);
        await until("every storage node is up", async () =>
          (await cluster.status()).storage.every(({ state }) => state === "up"),
        );
        await until("it serves again", () => {
          const later = history.writes.filter(({ startMs }) => startMs > healedMs);
          return later.filter(({ outcome }) => outcome === "ok").length > 50;
        });
        // Who waits for an answer still gets one within hold_timeout.
        const unended = await sessions.stop(2 * holdMs);
        const final = await readFinal(cluster);
        const setup = { accounts, balance, holdMs, slackMs: 1_000 };
        found = contradictionsIn(history, final, setup);
        await cluster.down();
        const { outcomes, errors } = countedByTheProxy();
        const unknown = unknownCount(history);
        console.log(
          [
            `${sessions.sessionCount} sessions, ${minutes} minutes, BOREALIS_SEED=${seed}`,
            ...figuresOf(history, final),
            `${unknown} answers of 08007`,
            `faults: ${told(chaos.struck)}`,
            `by the proxy: losses of servers ${told(outcomes)}; errors ${told(errors)}`,
          ].join("\n"),
        );
        expect(found.slice(0, 20)).toEqual([]);
        expect(unended, "sessions that were never answered").toEqual([]);
        // One that is told with the next statement is counted before there is one.
        const counted = errors.get("08007") ?? 0;
        expect(counted, "every 08007 is counted").toBeGreaterThanOrEqual(unknown);
        // All that its sessions have can be made again elsewhere.
        const ends = ["ended", "disconnected"].map((what) => outcomes.get(what) ?? 0);
        expect(ends, "no session ends but for having waited too long").toEqual([0, 0]);
        expect(unboundedIn(history)).toEqual([]);
      } catch (error) {
        keep(history, found);
        throw error;
      }
      expect(history.writes.filter(({ outcome }) => outcome === "ok").length).toBeGreaterThan(500);
      expect(history.views.length).toBeGreaterThan(500);
      expect(chaos.struck.size).toBeGreaterThan(5);
    },
    chaosMs + (minutes > 10 ? 1_000_000 : 400_000),
  );
});
