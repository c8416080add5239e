/**
 * From kill -9 of the writer's PostgreSQL to the next acknowledged write, with clients that write all the time; beside a
 * stock primary and standby whose watcher promotes at once.
 */
import { setTimeout as pause } from "node:timers/promises";
import type { Bench, Plan } from "./bench.ts";
import type { Contender, Ground } from "./contender.ts";
import { fill, sql, type Target } from "./pgbench.ts";
import { startBorealis } from "./peers/borealis.ts";
import { StreamingPair } from "./peers/streaming.ts";
import { formatTable, type Row, rowOf } from "./report.ts";
import { median, percentile } from "./stats.ts";
import { disorderIn, formatTimeline, timeline } from "./timeline.ts";
import { Writers } from "./writers.ts";

interface Killable extends Contender {
  /** What a client is configured with. */
  readonly targets: readonly Target[];
  /** kill -9 of the writer's PostgreSQL. */
  readonly kill: () => void;
  /** Returns when it is whole again: a kill may follow. */
  readonly settle: () => Promise<void>;
  /** Where the time of the failover went that has just been, step by step. */
  readonly trace: (span: Span) => Trace;
}

interface Trace {
  readonly text: string;
  /** What came out of its order; undefined: nothing, or nothing is known. */
  readonly disorder?: string | undefined;
}

/** From the kill to the next acknowledged write. */
interface Span {
  readonly ms: number;
  readonly beganAt: Date;
  /** The same moment in performance.now()'s time. */
  readonly beganMs: number;
}

interface Failover {
  readonly ms: number;
  readonly trace: Trace;
  /** Acknowledged writes a second before it. */
  readonly tps: number;
}

/** What became of one contender, and of what its clients were told. */
interface Course {
  readonly contender: Killable;
  readonly failovers: Failover[];
  readonly acknowledged: string[];
  readonly errors: Map<string, number>;
}

/** Load before a kill, and after the first acknowledged write. */
const beforeMs = 2_000;
const afterMs = 1_000;
const patienceMs = 60_000;

export const failover: Bench = {
  what: "kill -9 of the writer under load, beside a stock primary and standby with pg_ctl promote",
  async run({ ground, options, postgresBin, startAll, note }) {
    const plans: Plan<Killable>[] = [
      { name: "ours", start: () => startOurs(ground, postgresBin, options.readers ?? 2) },
      { name: "streaming", start: () => StreamingPair.start(ground) },
    ];
    const contenders = await startAll(plans);
    const scale = options.scale ?? 5;
    const clients = options.clients?.[0] ?? 16;
    for (const { name, target } of contenders) {
      console.log(`Filling ${name} (scale ${scale}) ...`);
      await fill(ground.tools, target, scale);
      await sql(ground.tools, target, "VACUUM ANALYZE", "CHECKPOINT");
    }
    const courses = contenders.map((contender): Course => {
      return { contender, failovers: [], acknowledged: [], errors: new Map() };
    });
    for (let round = 0; round < options.failovers; round++) {
      const results: string[] = [];
      for (let k = 0; k < courses.length; k++) {
        const course = courses[(k + round) % courses.length];
        if (!course) continue;
        await course.contender.settle();
        const one = await failOver(course, { clients, scale, signal: ground.signal });
        // What it does to become whole again is no load on the other one's failover.
        await course.contender.settle();
        course.failovers.push(one);
        results.push(`${course.contender.name} ${one.ms.toFixed(0)} ms`);
      }
      console.log(`failover ${round + 1} of ${options.failovers}: ${results.join(", ")}`);
    }
    console.log(summarize(courses));
    for (const { contender, failovers } of courses) {
      for (const { ms, trace, what } of exemplary(failovers))
        note(`\n${contender.name}, the ${what}, ${ms.toFixed(0)} ms:\n${trace.text}`);
    }
    const ours = courses.find(({ contender }) => contender.name === "ours");
    for (const line of ours ? ordersOf(ours) : []) note(line);
    // Its order is part of the protocol: a run that broke it has failed, however fast.
    if (ours?.failovers.some(({ trace }) => trace.disorder !== undefined)) process.exitCode = 1;
    for (const course of courses) note(await verify(course, ground));
    return compare(courses, clients);
  },
};

async function startOurs(
  ground: Ground,
  postgresBin: string | undefined,
  readers: number,
): Promise<Killable> {
  const ours = await startBorealis(ground, { postgresBin, readers });
  const { dataDir } = ours;
  let writerPid = 0;
  return {
    ...ours,
    targets: [ours.target],
    kill: () => process.kill(writerPid, "SIGKILL"),
    async settle() {
      for (;;) {
        const { cluster, instances } = await ours.settle();
        writerPid = instances.find(({ id }) => id === cluster.writer)?.postgresPid ?? 0;
        if (writerPid > 0) return;
        await pause(200);
      }
    },
    trace({ beganAt, ms }) {
      const moments = timeline(dataDir, { beganAt, lengthMs: ms + 50 });
      return { text: formatTimeline(moments), disorder: disorderIn(moments) };
    },
  };
}

async function failOver(
  course: Course,
  { clients, scale, signal }: { clients: number; scale: number; signal: AbortSignal },
): Promise<Failover> {
  const { contender, acknowledged, errors } = course;
  let server = "";
  let onAnswer = (from: string): void => void (server = from);
  const before = acknowledged.length;
  const writers = new Writers({
    targets: contender.targets,
    clients,
    scale,
    onAcknowledged: (from, key) => {
      acknowledged.push(key);
      onAnswer(from);
    },
    onError: (code) => void errors.set(code, (errors.get(code) ?? 0) + 1),
  });
  try {
    await pause(beforeMs, undefined, { signal });
    if (server === "") throw new Error(`${contender.name} acknowledged nothing in ${beforeMs} ms`);
    const tps = (acknowledged.length - before) / (beforeMs / 1000);
    const killed = server;
    const answer = new Promise<number>((resolve) => {
      onAnswer = (from) => {
        if (from !== killed) resolve(performance.now());
      };
    });
    const [beganAt, beganMs] = [new Date(), performance.now()];
    contender.kill();
    const over = new AbortController();
    const enough = AbortSignal.any([signal, over.signal]);
    const none = pause(patienceMs, Number.NaN, { signal: enough, ref: false });
    const ms = (await Promise.race([answer, none])) - beganMs;
    // Else each failover leaves its own waiting behind.
    none.catch(() => undefined);
    over.abort();
    if (Number.isNaN(ms)) throw new Error(`${contender.name}: no write for ${patienceMs / 1000} s`);
    await pause(afterMs, undefined, { signal });
    return { ms, tps, trace: contender.trace({ ms, beganAt, beganMs }) };
  } finally {
    await writers.stop();
  }
}

function ordersOf({ failovers }: Course): string[] {
  const disorders = failovers.flatMap(({ trace }) => trace.disorder ?? []);
  const inOrder = `${failovers.length - disorders.length} of ${failovers.length}`;
  return [`ours: steps in their order in ${inOrder}`, ...disorders.map((one) => `ours: ${one}`)];
}

/** The one nearest to the middle, and the slowest. */
function exemplary(failovers: readonly Failover[]): (Failover & { what: string })[] {
  const sorted = failovers.toSorted((a, b) => a.ms - b.ms);
  const middle = sorted[(sorted.length - 1) >> 1];
  const slowest = sorted.at(-1);
  if (!middle || !slowest) return [];
  const first = { ...middle, what: "one nearest to p50" };
  return middle === slowest ? [first] : [first, { ...slowest, what: "slowest" }];
}

function summarize(courses: readonly Course[]): string {
  const rows = courses.map(({ contender, failovers, errors }) => {
    const ms = failovers.map((one) => one.ms);
    const figures = [
      Math.min(...ms),
      percentile(ms, 50),
      percentile(ms, 90),
      Math.max(...ms),
      median(failovers.map(({ tps }) => tps)),
    ];
    const seen = [...errors].map(([code, count]) => `${count} x ${code}`).join(", ");
    return [contender.name, ...figures.map((one) => one.toFixed(0)), seen || "none"];
  });
  const header = ["ms", "min", "p50", "p90", "max", "writes/s before", "errors that clients saw"];
  return formatTable(header, rows);
}

/** Raises an Error if a write that was acknowledged is not there, or is there twice. */
async function verify(course: Course, ground: Ground): Promise<string> {
  const { contender, acknowledged } = course;
  await contender.settle();
  const text = await sql(ground.tools, contender.target, "SELECT filler FROM pgbench_history");
  const rows = text.split("\n").map((line) => line.trim());
  const there = new Set(rows);
  const missing = acknowledged.filter((key) => !there.has(key)).length;
  const twice = rows.length - there.size;
  const told = `${contender.name}: ${acknowledged.length} acknowledged writes, ${missing} missing, ${twice} twice`;
  if (missing > 0 || twice > 0) throw new Error(told);
  return told;
}

function compare(courses: readonly Course[], clients: number): Row[] {
  const msOf = (wanted: string): number[] =>
    courses
      .filter(({ contender }) => contender.name === wanted)
      .flatMap(({ failovers }) => failovers.map(({ ms }) => ms));
  const [ours, peer, peerName] = [msOf("ours"), msOf("streaming"), "streaming"];
  if (ours.length === 0 || peer.length === 0) return [];
  const title = `kill -9 to the next acknowledged write, c=${clients}`;
  const slowest = { ours: [Math.max(...ours)], peer: [Math.max(...peer)] };
  return [
    rowOf({ case: title, unit: "ms", ours, peer, peerName }),
    rowOf({ case: `${title}, slowest`, unit: "ms", ...slowest, peerName }),
  ];
}
