/**
 * What a new session costs: log in (SCRAM), one row by its key, leave; without TLS and with it, through the writer endpoint,
 * through PgBouncer in session mode, and at a stock PostgreSQL itself. All have the same password and the same certificate.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { resolveLayout } from "../src/main/data-dir.ts";
import type { Bench, BenchContext } from "./bench.ts";
import type { Contender, Ground } from "./contender.ts";
import { password, startBorealis } from "./peers/borealis.ts";
import { findPgbouncer, startPgbouncer } from "./peers/pgbouncer.ts";
import { type Login, ownedDir, startWithLogin, writeOwned } from "./peers/postgres.ts";
import type { Row } from "./report.ts";
import { compareRounds, runRounds, type Units } from "./rounds.ts";
import { fillAndSettle } from "./select.ts";

const units: Units = { rate: "sessions/s", cpu: "CPU µs/session" };
/** A bound of the endpoint's against floods, 1,000 a second of one address: it would be what is measured. */
const unbounded = "session.connectionsPerSecond=0";

export const connect: Bench = {
  what: "new sessions (SCRAM, TLS off and on) beside PgBouncer and PostgreSQL itself",
  async run(context) {
    const { ground, options, note } = context;
    const contenders = await start(context);
    const rows: Row[] = [];
    for (const clients of options.clients ?? [8]) {
      for (const tls of [false, true]) {
        const sides = contenders.map((one) => ({ ...one, target: { ...one.target, tls } }));
        const load = { clients, protocol: "simple", script: "select", reconnects: true } as const;
        const label = `new sessions, SCRAM, ${tls ? "TLS" : "no TLS"}, c=${clients}`;
        const run = { options, tools: ground.tools, label, units };
        rows.push(...compareRounds(label, await runRounds(sides, load, run), { units }));
      }
    }
    note(`ours with ${unbounded}: by default it takes 1,000 sessions a second of one address`);
    note("pgbench -C derives the key of the password for each session, on the same two cores:");
    note("that bounds the sessions a second of all; their CPU does not have it");
    return rows;
  },
};

async function start(context: BenchContext): Promise<Contender[]> {
  const { ground, postgresBin, startAll, note } = context;
  const ours = await startBorealis(ground, { postgresBin, settings: [unbounded] });
  const login = copyLogin(ground, ours.dataDir);
  const stock = await startWithLogin(ground, "postgres", login);
  const postgres: Contender = {
    name: "postgres",
    target: stock.tcp,
    settings: [`PostgreSQL ${ground.engine.version}`, "scram-sha-256", ...stock.settings],
    pids: () => [stock.server.pid],
  };
  for (const { target } of [ours, postgres])
    await fillAndSettle(context, target, context.options.scale ?? 1);
  const plans = [ours, postgres].map((one) => {
    return { name: one.name, start: () => Promise.resolve(one) };
  });
  const program = findPgbouncer();
  if (program === undefined) note("skipped pgbouncer: it is not installed, and only root can");
  else {
    const before = (): Promise<Contender> => startPgbouncer(ground, program, stock, { login });
    plans.push({ name: "pgbouncer", start: before });
  }
  return startAll(plans);
}

/** The endpoints' own certificate, so that nobody has a key that signs faster. */
function copyLogin(ground: Ground, dataDir: string): Login {
  const dir = ownedDir(ground, "login");
  const { tlsKeyFile, tlsCertFile } = resolveLayout(dataDir);
  const copy = (from: string, name: string): string => {
    const file = join(dir, name);
    writeOwned(ground, file, readFileSync(from, "utf8"));
    return file;
  };
  return { password, key: copy(tlsKeyFile, "key"), cert: copy(tlsCertFile, "cert") };
}
