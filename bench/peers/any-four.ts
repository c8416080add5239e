/**
 * The same durability from stock parts: every commit on four of six pg_receivewal --synchronous, each with its own
 * slot, directory and sync.
 */
import { join } from "node:path";
import { Child, runToEnd } from "../child.ts";
import type { Contender, Ground } from "../contender.ts";
import { sql } from "../pgbench.ts";
import { ownedDir, startPostgres } from "./postgres.ts";

const receivers = [1, 2, 3, 4, 5, 6].map((n) => `node_${n}`);

export interface AnyFourPlan {
  readonly name: string;
  readonly pgReceivewal: string;
  /** Of the server. Off is what its operator would have to dare: the receivers alone hold the commits then. */
  readonly fsync: "on" | "off";
}

export async function startAnyFour(ground: Ground, plan: AnyFourPlan): Promise<Contender> {
  const { name, pgReceivewal, fsync } = plan;
  const { server, tcp, settings } = await startPostgres(ground, name, [`fsync=${fsync}`]);
  const children: Child[] = [server];
  for (const receiver of receivers) {
    children.push(await startReceiver(ground, { name, receiver, pgReceivewal, port: tcp.port }));
  }
  const standbys = `ANY 4 (${receivers.join(", ")})`;
  await sql(
    ground.tools,
    tcp,
    `ALTER SYSTEM SET synchronous_standby_names = '${standbys}'`,
    "SELECT pg_reload_conf()",
  );
  const count = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'quorum'";
  const areAttached = async (): Promise<boolean> => (await sql(ground.tools, tcp, count)) === "6";
  await server.untilReady(areAttached, 30_000, ground.signal);
  return {
    name,
    target: tcp,
    settings: [
      `PostgreSQL ${ground.engine.version}, fsync=${fsync}, synchronous_standby_names='${standbys}'`,
      "six pg_receivewal --synchronous --slot",
      ...settings.filter((setting) => !setting.startsWith("fsync=")),
    ],
    pids: () => children.map((child) => child.pid),
  };
}

async function startReceiver(
  ground: Ground,
  plan: { name: string; receiver: string; pgReceivewal: string; port: number },
): Promise<Child> {
  const { user, signal } = ground;
  const dir = ownedDir(ground, join(plan.name, plan.receiver));
  const where = ["-D", dir, "-h", "127.0.0.1", "-p", String(plan.port), "-U", "postgres"];
  const env = { PGAPPNAME: plan.receiver, PGSSLMODE: "disable" };
  const program = plan.pgReceivewal;
  const slot = ["--slot", plan.receiver];
  await runToEnd({ program, args: [...where, ...slot, "--create-slot"], env, user, signal });
  const child = new Child({
    what: `pg_receivewal ${plan.receiver}`,
    program,
    args: [...where, ...slot, "--synchronous", "--no-loop"],
    logFile: join(ground.dir, plan.name, `${plan.receiver}.log`),
    user,
    env,
    stopSignal: "SIGINT",
  });
  // They end before their server, which waits for them when it stops.
  ground.cleanup.add(plan.receiver, () => child.stop());
  return child;
}
