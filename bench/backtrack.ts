/**
 * Back to an earlier moment: `borealis backtrack` beside a stock server's base backup and archived log. Both have as much log
 * between backup and moment, and as much behind it that is undone.
 */
import { setTimeout as pause } from "node:timers/promises";
import type { Bench, BenchContext, Plan } from "./bench.ts";
import type { Ground, Named } from "./contender.ts";
import { compareDurations, timeRounds } from "./durations.ts";
import { startBorealis } from "./peers/borealis.ts";
import { PitrServer } from "./peers/pitr.ts";
import { measure, sql, type Target } from "./pgbench.ts";
import { type Answer, fillForProbes, firstAnswer, type Question, settleDisk } from "./probe.ts";

interface Rewindable extends Named {
  readonly target: Target;
  /** It runs, and has a snapshot or base backup of now. */
  readonly begin: () => Promise<void>;
  /** `moment`: a time in ISO 8601. May return before it writes again. */
  readonly rewind: (moment: string) => Promise<void>;
  /** Raises if it has ended by itself. */
  readonly requireAlive: () => void;
  /** It is down. */
  readonly end: () => Promise<void>;
}

const load = { clients: 16, protocol: "prepared", script: "tpcb" } as const;

export const backtrack: Bench = {
  what: "back to an earlier moment in place, beside a base backup and archived log",
  async run(context) {
    const { ground, options, startAll } = context;
    const scale = options.scale ?? 20;
    const plans: Plan<Rewindable>[] = [
      { name: "ours", start: () => rewindOurs(context, scale) },
      { name: "pitr", start: () => rewindStock(ground, scale) },
    ];
    const contenders = await startAll(plans);
    const once = (contender: Rewindable): Promise<number> => goBack(context, contender);
    const durations = await timeRounds("backtrack", contenders, { options, once });
    const title = `${options.seconds} s of TPC-B undone, to the first write, scale ${scale}`;
    return compareDurations(title, durations);
  },
};

async function rewindOurs(context: BenchContext, scale: number): Promise<Rewindable> {
  const { ground, options, postgresBin } = context;
  const ours = await startBorealis(ground, { postgresBin, readers: options.readers ?? 0 });
  const { name, settings, target, requireAlive } = ours;
  await fillForProbes(ground, { name, target, scale });
  await ours.stop();
  return {
    name,
    settings,
    target,
    requireAlive,
    async begin() {
      ours.launch();
      await ours.untilReady();
      await ours.settle();
      await ours.cli("snapshot", "create");
    },
    rewind: async (moment) => void (await ours.cli("backtrack", "--to", moment, "--json")),
    async end() {
      await ours.settle();
      await ours.stop();
    },
  };
}

async function rewindStock(ground: Ground, scale: number): Promise<Rewindable> {
  const server = await PitrServer.create(ground, "pitr", scale);
  const { name, settings, target } = server;
  return {
    name,
    settings,
    target,
    requireAlive: () => server.requireAlive(),
    begin: () => server.begin(),
    rewind: (moment) => server.rewind(moment),
    end: () => server.end(),
  };
}

/** In ms, from asking for it to the first write that is acknowledged after it. Raises an Error if it is not as it was then. */
async function goBack({ ground, options }: BenchContext, contender: Rewindable): Promise<number> {
  const { name, target } = contender;
  const { tools, signal } = ground;
  await contender.begin();
  const write = { ...load, seconds: options.seconds };
  await measure(tools, target, write);
  const before = await sql(tools, target, balances);
  await pause(asideMs, undefined, { signal });
  const moment = await sql(tools, target, now);
  await pause(asideMs, undefined, { signal });
  await measure(tools, target, write);
  const { server } = await firstAnswer({ target, what: "read", signal });
  await settleDisk(ground);
  const beganMs = performance.now();
  const { atMs } = await writtenAfter(contender.rewind(moment), {
    target,
    notFrom: server,
    whose: contender,
    signal,
  });
  const after = await sql(tools, target, balances);
  if (after !== before) throw new Error(`${name} is not as it was: ${after}, not ${before}`);
  await contender.end();
  return atMs - beganMs;
}

/** Nobody commits for so long before the moment and after it. */
const asideMs = 100;
const now = `SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;
const balances = `
  SELECT (SELECT sum(hashint8((aid::bigint << 32) + abalance)::bigint) FROM pgbench_accounts),
         (SELECT sum(tbalance) FROM pgbench_tellers), (SELECT sum(bbalance) FROM pgbench_branches),
         (SELECT count(*) FROM pgbench_history)`;

/** The first write that the next PostgreSQL acknowledges, when the command has ended, too. Raises what the command says. */
async function writtenAfter(
  command: Promise<void>,
  question: Omit<Question, "what">,
): Promise<Answer> {
  const failed = new AbortController();
  command.catch((error: unknown) => failed.abort(error));
  const signal = AbortSignal.any([question.signal, failed.signal]);
  const answer = await firstAnswer({ ...question, what: "write", signal });
  await command;
  return answer;
}
