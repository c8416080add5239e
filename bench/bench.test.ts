import { getEventListeners } from "node:events";
import { expect, test } from "vitest";
import { seededRng } from "../src/base/rng.ts";
import { orAborted } from "./abort.ts";
import { choose, planned, type Result, runAll } from "./all.ts";
import { rowsOf } from "./bulk.ts";
import { type CpuTime, settledCpuTime } from "./cpu.ts";
import { compareDurations, timeRounds } from "./durations.ts";
import { kibOfSession } from "./memory.ts";
import { parseOptions } from "./options.ts";
import { parsePgbench, requireClean } from "./pgbench.ts";
import { parsePss } from "./pss.ts";
import { besideOurs, formatTable, rowOf } from "./report.ts";
import { compareRounds, runWork } from "./rounds.ts";
import { pairsOf, sizesOf } from "./scale.ts";
import { costOf, describeSnapshots, snapshotsIn } from "./snapshot.ts";
import { median, percentile, ratios } from "./stats.ts";
import { disorderIn, formatTimeline, eventsOf } from "./timeline.ts";

const output = `pgbench (15.18)
scaling factor: 5
number of transactions actually processed: 43938
number of failed transactions: 0 (0.000%)
latency average = 0.728 ms
initial connection time = 3.021 ms
tps = 10984.514321 (without initial connection time)
`;

test("pgbench's output is read, and a failed transaction is no result", () => {
  expect(parsePgbench(output)).toEqual({
    tps: 10984.514321,
    transactions: 43938,
    latencyMs: 0.728,
  });
  for (const read of [parsePgbench, requireClean]) {
    expect(() => read("client 0 aborted")).toThrow();
    expect(() =>
      read(output.replace("failed transactions: 0", "failed transactions: 1")),
    ).toThrow();
  }
  // Many clients, a short time, a busy machine: enough for a warm-up, not for a figure.
  const none =
    "number of transactions actually processed: 0\nnumber of failed transactions: 0 (NaN%)\n";
  expect(() => requireClean(none)).not.toThrow();
  expect(() => parsePgbench(none)).toThrow("measured nothing");
});

test("a row's ratio is the median of the rounds' ratios", () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 2, 3])).toBe(2.5);
  expect(ratios([10, 20], [5, 40])).toEqual([2, 0.5]);
  const row = rowOf({
    case: "c",
    unit: "tps",
    ours: [100, 50, 10],
    peer: [100, 100, 100],
    peerName: "p",
  });
  expect(row).toEqual({
    case: "c",
    unit: "tps",
    ours: 50,
    peer: 100,
    peerName: "p",
    ratio: 0.5,
    min: 0.1,
    max: 1,
    rounds: 3,
  });
});

test("a percentile is a value that was measured", () => {
  const values = [5, 1, 4, 2, 3];
  expect([1, 50, 80, 81, 99, 100].map((percent) => percentile(values, percent))).toEqual([
    1, 3, 4, 5, 5, 5,
  ]);
  expect(percentile([], 50)).toBeNaN();
});

test("a log's lines are events, and what is no line of a log is left out", () => {
  const log = `node: a warning\n{"time":"2026-01-01T00:00:01.250Z","event":"epoch.claimed","epoch":2}
{"time":"2026-01-01T00:00:01.500Z","event":"role.ordered","instance":"instance-1","role":"reader"}\n`;
  expect(eventsOf(log)).toEqual([
    { at: new Date("2026-01-01T00:00:01.250Z"), event: "epoch.claimed" },
    { at: new Date("2026-01-01T00:00:01.500Z"), event: "role.ordered to read" },
  ]);
  expect(formatTimeline([{ atMs: 250, process: "instance-1", event: "epoch.claimed" }])).toBe(
    "   250  instance-1         epoch.claimed",
  );
});

test("a takeover's steps have an order", () => {
  const events =
    "role.ordered feed.capped epoch.opened recovery.replayed recovery.promoted driver.attached writer.available session.survived";
  const inOrder = events.split(" ").map((event, k) => ({ atMs: 10 * k, process: "p", event }));
  expect(disorderIn(inOrder)).toBeUndefined();
  const moved = (event: string, atMs: number): string | undefined =>
    disorderIn(inOrder.map((one) => (one.event === event ? { ...one, atMs } : one)));
  expect(moved("feed.capped", 25)).toBeUndefined();
  expect(moved("recovery.replayed", 15)).toBe(
    "recovery.replayed before feed.capped or epoch.opened",
  );
  expect(moved("recovery.promoted", 25)).toBe("recovery.promoted before recovery.replayed");
  expect(moved("session.survived", 55)).toBe("session.survived before writer.available");
  expect(disorderIn(inOrder.slice(0, 3))).toBe("no recovery.replayed");
});

test("options are checked, and --quick changes the defaults only", () => {
  expect(parseOptions(["commit", "--quick", "--rounds", "2"])).toMatchObject({
    rounds: 2,
    failovers: 1,
    seconds: 2,
    scale: 2,
  });
  expect(parseOptions(["commit", "--clients", "1,16"]).clients).toEqual([1, 16]);
  expect(parseOptions(["snapshot", "--readers", "0"]).readers).toBe(0);
  expect(parseOptions(["snapshot"]).readers).toBeUndefined();
  for (const bad of [
    ["--rounds", "0"],
    ["--readers", "-1"],
    ["--readers", ""],
    ["--clients", "1,x"],
    ["a", "b"],
    ["--nonsense"],
    ["--megabytes", "0"],
    ["--minutes", "x"],
  ]) {
    expect(() => parseOptions(bad)).toThrow();
  }
});

test("a table aligns numbers to the right and words to the left", () => {
  expect(
    formatTable(
      ["name", "n"],
      [
        ["a", "1"],
        ["bcdef", "10"],
      ],
    ),
  ).toBe("name    n\n-----  --\na       1\nbcdef  10");
});

test("what takes long is done in turn, the order turning, and the first of each does not count", async () => {
  const order: string[] = [];
  const contenders = ["ours", "peer", "other"].map((name) => ({ name, settings: [] }));
  const durations = await timeRounds("a start", contenders, {
    options: parseOptions(["boot", "--rounds", "2"]),
    once: ({ name }) => {
      order.push(name);
      // The first of each takes an hour.
      return Promise.resolve(order.length <= 3 ? 3_600_000 : 1_000 * order.length);
    },
  });
  expect(order).toEqual("ours peer other  peer other ours  other ours peer".split(/ +/));
  expect([...durations]).toEqual([
    ["ours", [6, 8]],
    ["peer", [4, 9]],
    ["other", [5, 7]],
  ]);
  const rows = compareDurations("a start", durations);
  expect(rows.map(({ peerName, unit, ours, peer }) => [peerName, unit, ours, peer])).toEqual([
    ["peer", "s", 7, 6.5],
    ["other", "s", 7, 6],
  ]);
  // One that --peers left out has no row.
  expect(compareDurations("a start", durations, [["peer", "none"]])).toEqual([]);
  expect(compareDurations("a start", durations, [["peer", "other"]])).toMatchObject([
    { ours: 6.5, peer: 6, peerName: "other" },
  ]);
});

test("the keeper's log has what each snapshot was; the one that a volume is born with has no figures", () => {
  const line = (snapshot: string, mode: string, tookMs: number): string =>
    JSON.stringify({
      event: "snapshot.taken",
      snapshot,
      mode,
      tookMs,
      readBytes: 3 * 2 ** 20,
      storedBytes: 2 ** 20,
      time: "2026-01-01T00:00:00Z",
    });
  const log = [
    "node: a warning",
    JSON.stringify({ event: "snapshot.taken", snapshot: "genesis", startLsn: "0/0" }),
    JSON.stringify({ event: "extents.collected" }),
    line("a", "full", 9_000),
    line("b", "incremental", 2_000),
    line("c", "incremental", 3_000),
    "",
  ].join("\n");
  const taken = snapshotsIn(log);
  expect(taken.map(({ id, mode }) => [id, mode])).toEqual([
    ["a", "full"],
    ["b", "incremental"],
    ["c", "incremental"],
  ]);
  expect(describeSnapshots(taken, 5)).toBe(
    "3 snapshots in 5 rounds (1 full, 2 incremental); the median one copied for 3.0 s, read 3.0 MiB and stored 1.0 MiB",
  );
});

test("work that nobody waits for any more is let be, and leaves no listener behind", async () => {
  const stop = new AbortController();
  expect(await orAborted(Promise.resolve(7), stop.signal)).toBe(7);
  expect(getEventListeners(stop.signal, "abort")).toEqual([]);
  const never = new Promise<void>(() => undefined);
  const waiting = orAborted(never, stop.signal);
  stop.abort(new Error("stopped by SIGINT"));
  await expect(waiting).rejects.toThrow("stopped by SIGINT");
  await expect(orAborted(never, stop.signal)).rejects.toThrow("stopped by SIGINT");
  await expect(
    orAborted(Promise.reject(new Error("its own")), new AbortController().signal),
  ).rejects.toThrow("its own");
});

test("what one snapshot cost does not depend on how many were taken in a round", () => {
  // 10 s at 100 tps and 1 ms each; four snapshots beside it take half the transactions and 2 s of CPU.
  const undisturbed = [{ tps: 100, transactions: 1_000, cpuUs: 1_000 }];
  const ours = [{ tps: 50, transactions: 500, cpuUs: 5_000 }];
  expect(costOf({ ours, undisturbed, count: 4 })).toEqual({ cpuMs: 500, lostMs: 1_250 });
  // As many again in a second round.
  const twice = { ours: [...ours, ...ours], undisturbed: [...undisturbed, ...undisturbed] };
  expect(costOf({ ...twice, count: 8 })).toEqual({ cpuMs: 500, lostMs: 1_250 });
});

test("work of any kind is done in turn, what is around it is not measured, and rows are of the pairs that are wanted", async () => {
  const order: string[] = [];
  const contenders = ["ours", "peer", "other"].map((name) => {
    return { name, settings: [], target: { host: "h", port: 1, user: "u" }, pids: () => [] };
  });
  const note =
    (what: string) =>
    ({ name }: { name: string }): Promise<void> => {
      order.push(`${what}${name}`);
      return Promise.resolve();
    };
  const units = { rate: "MB/s", cpu: "CPU µs/MB" };
  const series = await runWork(
    contenders,
    {
      label: "work",
      units,
      warmUp: note("~"),
      before: note("<"),
      once: async (contender) => {
        await note("")(contender);
        const tps = contender.name === "peer" ? 40 : 10;
        return { tps, transactions: 20, latencyMs: 1 };
      },
      after: note(">"),
    },
    { rounds: 2, restMs: 0 },
  );
  expect(order.join(" ")).toBe(
    "~ours ~peer ~other " +
      "<ours ours >ours <peer peer >peer <other other >other " +
      "<peer peer >peer <other other >other <ours ours >ours",
  );
  const told = (pairs?: Parameters<typeof compareRounds>[2]): unknown[] =>
    compareRounds("work", series, pairs).map(({ peerName, unit, ratio }) => [
      peerName,
      unit,
      ratio,
    ]);
  expect(told({ units }).filter((row) => String(row).includes("MB/s"))).toEqual([
    ["peer", "MB/s", 0.25],
    ["other", "MB/s", 1],
  ]);
  expect(told({ pairs: [["peer", "other"]] })[0]).toEqual(["other", "tps", 4]);
  // One that --peers left out has no row.
  expect(told({ pairs: [["peer", "none"]] })).toEqual([]);
});

test("rows for COPY are as long as was asked for, each time the same, and need no escape", () => {
  const { text, count } = rowsOf(10_000, seededRng(1));
  const lines = text.split("\n");
  expect(lines.pop()).toBe("");
  expect(lines).toHaveLength(count);
  for (const line of lines)
    expect(line).toMatch(/^\d+\t\d+\t\d+\.\d\d\t\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\t[a-z0-9 ]+$/);
  expect(text.length).toBeGreaterThanOrEqual(10_000);
  expect(text.length - (lines.at(-1)?.length ?? 0)).toBeLessThanOrEqual(10_000);
  expect(rowsOf(10_000, seededRng(1)).text).toBe(text);
});

test("what grows is beside itself at the smallest", () => {
  const readers = undefined;
  expect(pairsOf(sizesOf({ readers, clients: undefined, isQuick: false }))).toEqual([
    ["2-readers", "0-readers"],
    ["5-readers", "0-readers"],
    ["15-readers", "0-readers"],
    ["much-log", "0-readers"],
    ["100-clients", "10-clients"],
    ["1000-clients", "10-clients"],
    ["5000-clients", "10-clients"],
  ]);
  expect(sizesOf({ readers: 5, clients: [10, 20], isQuick: true })).toEqual({
    readers: [0, 2, 5],
    clients: [10, 20],
  });
  expect(besideOurs(["a", "ours", "b"])).toEqual([
    ["ours", "a"],
    ["ours", "b"],
  ]);
});

test("memory is read as the kernel tells it, and a session's is its part of what they add", () => {
  const rollup =
    "5581-7ffe ---p 00000000 00:00 0 [rollup]\nRss:  9000 kB\nPss:  1234 kB\nPss_Anon:  77 kB\n";
  expect(parsePss(rollup)).toBe(1234);
  expect(() => parsePss("Rss: 9000 kB\n")).toThrow();
  expect(kibOfSession({ idle: { totalKib: 1000 }, crowd: { totalKib: 5000 } }, 20)).toBe(200);
});

const nothing: Result = { postgres: "18", rows: [], notes: [] };

test("one that fails stops nobody, and whoever has no time left is told of", async () => {
  const [deadline, stop] = [new AbortController(), new AbortController()];
  const plans = ["fails", "runs", "late", "never"].map((name) => ({ name, args: [] }));
  const told: number[] = [];
  const outcomes = await runAll(plans, {
    run: ({ name }, signal) => {
      if (name === "fails") return Promise.reject(new Error("no such thing"));
      if (name === "late") deadline.abort(new Error("over"));
      return signal.aborted ? Promise.reject(new Error("killed")) : Promise.resolve(nothing);
    },
    deadline: deadline.signal,
    signal: stop.signal,
    onOutcome: (soFar) => told.push(soFar.length),
  });
  expect(outcomes.map((one) => [one.name, "error" in one ? one.error : "done"])).toEqual([
    ["fails", "no such thing"],
    ["runs", "done"],
    ["late", "stopped: the time was over"],
    ["never", "not run: the time was over"],
  ]);
  expect(told).toEqual([1, 2, 3, 4]);
});

test("who stops all of them is obeyed at once", async () => {
  const stop = new AbortController();
  const outcomes = await runAll(planned, {
    run: () => {
      stop.abort(new Error("stopped by SIGINT"));
      return Promise.reject(new Error("stopped by SIGINT"));
    },
    deadline: new AbortController().signal,
    signal: stop.signal,
    onOutcome: () => undefined,
  });
  expect(outcomes).toHaveLength(1);
});

test("plans of all can be parsed, what the user gives comes after them, and names are checked", () => {
  for (const { name, args } of planned) expect(parseOptions([name, ...args]).name).toBe(name);
  const [first] = choose(["lag", "commit"]);
  expect(first?.name).toBe("commit");
  expect(parseOptions(["commit", ...(first?.args ?? []), "--rounds", "7"]).rounds).toBe(7);
  expect(choose(undefined)).toEqual(planned);
  expect(() => choose(["commit", "nonsense"])).toThrow("nonsense");
});

test("a process that ends while CPU times are read counts once", async () => {
  const reading = (totalMs: number, ...pids: number[]): CpuTime => {
    return { totalMs, byProcess: new Map(), pids: new Set(pids) };
  };
  const settle = async (...readings: CpuTime[]): Promise<number> => {
    const read = (): CpuTime => readings.shift() ?? reading(Number.NaN);
    return (await settledCpuTime(read, () => Promise.resolve())).totalMs;
  };
  const gone = reading(310, 1);
  // Its parent was read before it ended, itself not any more.
  expect(await settle(reading(300, 1, 2), reading(10, 1), gone, gone)).toBe(310);
  // Itself was read, and its parent when it had ended.
  expect(await settle(reading(300, 1, 2), reading(610, 1, 2), gone, gone, gone)).toBe(310);
  expect(await settle(reading(300, 1, 2), reading(305, 1, 2), reading(306, 1, 2))).toBe(305);
});
