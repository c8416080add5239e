/** kill -9 at a step of something long, found by what the processes log. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type TestCluster, until } from "./cluster.ts";

/** How often any of the cluster's processes has logged this event. */
export function logged(cluster: TestCluster, event: string): number {
  const folder = join(cluster.dataDir, "log");
  const names = existsSync(folder) ? readdirSync(folder) : [];
  return names
    .filter((name) => /^(control-plane|instance-\d+(-driver)?)\.log$/.test(name))
    .map((name) => readFileSync(join(folder, name), "utf8"))
    .reduce((count, text) => count + text.split(`"event":"${event}"`).length - 1, 0);
}

export function killOne(pid: number | undefined): void {
  if (pid === undefined) throw new Error("there is nobody to kill");
  process.kill(pid, "SIGKILL");
}

/** Everything at once; then it is started again. */
export async function killEverything(cluster: TestCluster): Promise<void> {
  await killAll(cluster);
  await cluster.up();
}

/** Everything at once; resolves when nothing of it runs. */
export async function killAll(cluster: TestCluster): Promise<void> {
  // The supervisor's command line has been replaced by its title: it is known by its pid.
  for (const pid of [cluster.supervisorPid, ...cluster.processesLeft()]) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // Gone meanwhile.
    }
  }
  await until("nothing of it runs", () => cluster.processesLeft().length === 0, 15_000);
}
