/**
 * What memory it takes: idle, with sessions that do nothing, and under load; all processes together, one by one, and for a session;
 * beside the same from stock parts.
 */
import { setTimeout as pause } from "node:timers/promises";
import type { Bench, BenchContext, Plan } from "./bench.ts";
import type { Contender } from "./contender.ts";
import { Crowd } from "./crowd.ts";
import { startAnyFour } from "./peers/any-four.ts";
import { startBorealis } from "./peers/borealis.ts";
import { findPgbouncer, startPgbouncer } from "./peers/pgbouncer.ts";
import { startPostgres } from "./peers/postgres.ts";
import { measure, tidy } from "./pgbench.ts";
import { type Memory, memoryOf } from "./pss.ts";
import { besideOurs, formatTable, type Row, rowOf } from "./report.ts";
import { direct, fillAndSettle } from "./select.ts";
import { median } from "./stats.ts";

interface Round {
  readonly idle: Memory;
  readonly crowd: Memory;
  readonly load: Memory;
}

const sampleMs = 1_000;

export const memory: Bench = {
  what: "memory (PSS) idle, with idle sessions and under load, beside the same from stock parts",
  needs: "pg_receivewal",
  async run(context) {
    const { options, note, ground } = context;
    const { tools, signal } = ground;
    const sessions = options.clients?.[0] ?? (options.isQuick ? 20 : 100);
    const contenders = await start(context);
    for (const { target } of contenders) {
      await tidy(tools, target, "CHECKPOINT");
    }
    const series = new Map<string, Round[]>(contenders.map(({ name }) => [name, []]));
    for (let round = 0; round < options.rounds; round++) {
      await pause(4_000 * options.seconds, undefined, { signal });
      const idle = new Map(contenders.map(({ name, pids }) => [name, memoryOf(pids())]));
      for (let k = 0; k < contenders.length; k++) {
        const contender = contenders[(k + round) % contenders.length];
        const before = contender && idle.get(contender.name);
        if (!before) continue;
        const crowd = await withSessions(context, contender, sessions);
        const load = await underLoad(context, contender);
        series.get(contender.name)?.push({ idle: before, crowd, load });
      }
      console.log(`memory, round ${round + 1} of ${options.rounds}`);
    }
    for (const [name, rounds] of series) note(`${describe(name, rounds, sessions)}\n`);
    note(`idle: after ${4 * options.seconds} s; load: TPC-B prepared, c=16, the most of it`);
    return compare(series, sessions);
  },
};

async function start(context: BenchContext): Promise<Contender[]> {
  const { ground, options, postgresBin, clientProgram, startAll, note } = context;
  const scale = options.scale ?? 5;
  const stock = await startPostgres(ground, "postgres");
  const postgres = { ...direct("direct-tcp", stock, context), name: "postgres" };
  const plans: Plan[] = [
    { name: "ours", start: () => startBorealis(ground, { postgresBin }) },
    { name: "postgres", start: () => Promise.resolve(postgres) },
  ];
  if (clientProgram === undefined) note("skipped any4: no pg_receivewal for this engine");
  else {
    const plan = { name: "any4", pgReceivewal: clientProgram, fsync: "on" } as const;
    plans.push({ name: plan.name, start: () => startAnyFour(ground, plan) });
  }
  const program = findPgbouncer();
  if (program === undefined) note("skipped pgbouncer: it is not installed, and only root can");
  else {
    // Of its own: one server's memory would be counted for two.
    const before = async (): Promise<Contender> => {
      const server = await startPostgres(ground, "postgres-of-pgbouncer");
      return startPgbouncer(ground, program, server);
    };
    plans.push({ name: "pgbouncer", start: before });
  }
  const contenders = await startAll(plans);
  for (const { target } of contenders) await fillAndSettle(context, target, scale);
  return contenders;
}

async function withSessions(
  { ground: { signal } }: BenchContext,
  { target, pids }: Contender,
  count: number,
): Promise<Memory> {
  const crowd = new Crowd(target);
  try {
    await crowd.grow(count, signal);
    await pause(sampleMs, undefined, { signal });
    crowd.requireWhole();
    return memoryOf(pids());
  } finally {
    await crowd.leave();
  }
}

async function underLoad(
  { ground: { tools, signal }, options: { seconds } }: BenchContext,
  { target, pids }: Contender,
): Promise<Memory> {
  const load = { clients: 16, protocol: "prepared", script: "tpcb", seconds } as const;
  let isOver = false;
  const running = measure(tools, target, load).finally(() => (isOver = true));
  running.catch(() => undefined);
  let most = memoryOf(pids());
  while (!isOver) {
    await pause(sampleMs / 2, undefined, { signal });
    const now = memoryOf(pids());
    if (!isOver && now.totalKib > most.totalKib) most = now;
  }
  await running;
  return most;
}

/** What a session takes. Of the round's own sessions, so that what else grows over the rounds drops out. */
export function kibOfSession(
  { idle, crowd }: { idle: Pick<Memory, "totalKib">; crowd: Pick<Memory, "totalKib"> },
  sessions: number,
): number {
  return (crowd.totalKib - idle.totalKib) / sessions;
}

function describe(name: string, rounds: readonly Round[], sessions: number): string {
  const states = ["idle", "crowd", "load"] as const;
  const labels = [...new Set(rounds.flatMap((round) => [...round.load.byProcess.keys()]))];
  const cells = (pick: (one: Memory) => number): string[] =>
    states.map((state) => (median(rounds.map((round) => pick(round[state]))) / 1024).toFixed(1));
  const rows = labels
    .toSorted()
    .map((label) => [label, ...cells(({ byProcess }) => byProcess.get(label) ?? 0)])
    // One that was just ending.
    .filter(([, ...figures]) => figures.some((figure) => figure !== "0.0"));
  const total = ["all", ...cells(({ totalKib }) => totalKib)];
  return formatTable([`${name}, MiB`, "idle", `${sessions} sessions`, "load"], [...rows, total]);
}

function compare(series: ReadonlyMap<string, readonly Round[]>, sessions: number): Row[] {
  return besideOurs(series.keys()).flatMap(([name, peerName]) => {
    const [ours = [], peer = []] = [series.get(name), series.get(peerName)];
    if (ours.length === 0) return [];
    const row = (what: string, unit: string, pick: (round: Round) => number): Row =>
      rowOf({ case: what, unit, ours: ours.map(pick), peer: peer.map(pick), peerName });
    return [
      row("memory, all processes, idle", "MiB", ({ idle }) => idle.totalKib / 1024),
      row(`memory of a session, of ${sessions}`, "KiB", (one) => kibOfSession(one, sessions)),
      row("memory, all processes, c=16", "MiB", ({ load }) => load.totalKib / 1024),
    ];
  });
}
