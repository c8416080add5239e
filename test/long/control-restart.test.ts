/** What the commands do while the control plane is being started again: they wait for it, and ask once. */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type CliResult, commandLine, TestCluster, until } from "../helpers/cluster.ts";

const awayMs = 2_000;

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await TestCluster.create({ readers: 1 });
  await cluster.query("CREATE TABLE t AS SELECT generate_series(1, 10) AS n");
});
afterAll(() => cluster.destroy());

/** Nobody listens at the control plane's socket while this works, for as long as that takes, or a while. */
async function withoutControlPlane<T>(work: () => Promise<T>, forMs?: number): Promise<T> {
  const pid = (await cluster.pids()).get("control-plane") ?? 0;
  // A supervisor that is frozen starts nothing again, and its cluster runs.
  process.kill(cluster.supervisorPid, "SIGSTOP");
  try {
    process.kill(pid, "SIGKILL");
    await until("it is gone", () => commandLine(pid) === "");
    const begun = work();
    if (forMs === undefined) return await begun;
    await new Promise((resolve) => setTimeout(resolve, forMs));
    process.kill(cluster.supervisorPid, "SIGCONT");
    return await begun;
  } finally {
    process.kill(cluster.supervisorPid, "SIGCONT");
  }
}

function cliWhileAway(...commands: string[][]): Promise<CliResult[]> {
  return withoutControlPlane(
    () => Promise.all(commands.map((args) => cluster.cli(...args))),
    awayMs,
  );
}

const good = (results: readonly CliResult[]): void => {
  expect(results.map(({ code, stderr }) => ({ code, stderr }))).toEqual(
    results.map(() => ({ code: 0, stderr: "" })),
  );
};

describe("while the control plane is being started again", () => {
  it("what only asks gets its answer", async () => {
    good(
      await cliWhileAway(
        ["status", "--json"],
        ["url"],
        ["snapshot", "list", "--json"],
        ["endpoint", "list"],
        ["storage", "list", "--json"],
      ),
    );
  });

  it("what changes something does so, once", async () => {
    good(
      await cliWhileAway(
        ["endpoint", "create", "late", "--type", "any"],
        ["instance", "modify", "instance-2", "--tier", "7"],
      ),
    );
    const { endpoints } = await cluster.status();
    expect(endpoints.filter(({ id }) => id === "late")).toHaveLength(1);
  });

  it("a failover is done, though nobody has told it of the instances yet", async () => {
    const { epoch } = (await cluster.status()).cluster;
    const [failover] = await cliWhileAway(["failover", "--target", "instance-2", "--json"]);
    expect(failover).toMatchObject({ code: 0 });
    const report = JSON.parse(failover?.stdout ?? "");
    expect(report).toMatchObject({ previous: "instance-1", writer: "instance-2" });
    // One claim: it was asked once.
    expect(report.epoch).toBe(epoch + 1);
    await cluster.untilEverybody();
  });

  it("a clone is made, and objects are scrubbed", async () => {
    const into = join(cluster.dataDir, "../clone");
    const [cloned, scrubbed] = await cliWhileAway(
      ["clone", "--into", into, "--json"],
      ["storage", "scrub", "--json"],
    );
    expect(cloned).toMatchObject({ code: 0 });
    expect(scrubbed).toMatchObject({ code: 0 });
  });

  it("one that does not come back is told of, with what to do", async () => {
    const results = await withoutControlPlane(() =>
      Promise.all([
        cluster.cli("failover"),
        cluster.cli("status"),
        cluster.cli("snapshot", "list"),
      ]),
    );
    for (const { code, stderr } of results) {
      expect(code).toBe(1);
      expect(stderr).toMatch(
        /the control plane of the cluster in \S+ does not answer; nothing was asked of it: try again/,
      );
    }
    await cluster.untilEverybody();
  });
});
