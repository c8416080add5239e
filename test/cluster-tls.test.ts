/** A whole cluster whose storage nodes are reached by mutual TLS only. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestCluster, until } from "./helpers/cluster.ts";
import { Workload } from "./helpers/workload.ts";

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await TestCluster.create({ readers: 1, args: ["--set", "storage.transport=tls"] });
});
afterAll(() => cluster.destroy());

/** Ports that a process listens on, from /proc. */
function listeningPorts(pid: number): number[] {
  const inodes = new Set<string>();
  for (const fd of readdirSync(`/proc/${pid}/fd`)) {
    const inode = /^socket:\[(\d+)\]/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1];
    if (inode !== undefined) inodes.add(inode);
  }
  return readFileSync("/proc/net/tcp", "utf8")
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .filter((row) => row[3] === "0A" && inodes.has(row[9] ?? ""))
    .map((row) => Number.parseInt(row[1]?.split(":")[1] ?? "0", 16));
}

function logOf(name: string): string {
  return readFileSync(join(cluster.dataDir, "log", `${name}.log`), "utf8");
}

describe("a cluster over mutual TLS", () => {
  it("commits, loses nodes and the writer, and reads", async () => {
    const load = new Workload(cluster, 2);
    await load.start();
    const pids = await cluster.pids();
    for (const node of ["az1-full", "az2-tail"]) process.kill(pids.get(node) ?? 0, "SIGKILL");
    await load.untilMore(50);
    process.kill(pids.get("instance-1") ?? 0, "SIGKILL");
    await load.untilMore(50);
    await load.stop();
    expect(await load.missingOn("writer")).toEqual([]);
    await until("the reader has it all", async () => {
      return (await load.missingOn("instance-2")).length === 0;
    });
    await until("every node is up and complete", async () => {
      const { storage, cluster: of } = await cluster.status();
      return storage.every((node) => node.state === "up" && node.scl !== null && of.vdl !== null);
    });
  });

  it("leaves no way in but TLS, and counts who tries", async () => {
    const pid = (await cluster.pids()).get("az3-full") ?? 0;
    const [port] = listeningPorts(pid);
    if (port === undefined) throw new Error("the node listens nowhere");
    const heard = await new Promise<string>((resolve) => {
      const socket = connect({ host: "127.0.0.1", port });
      let text = "";
      socket.once("connect", () => socket.write(Buffer.alloc(112, "BOREALIS")));
      socket.on("data", (chunk) => (text += chunk.toString("latin1")));
      socket.on("error", () => undefined);
      socket.once("close", () => resolve(text));
    });
    expect(heard).not.toContain("BOREALIS");
    await until("the stranger is in the log", () => logOf("az3-full").includes('"link.stranger"'));
    expect((await cluster.query("SELECT 1 AS one")).rows).toEqual([{ one: 1 }]);
  });

  it("reaches the successors of a replaced node over TLS, too", async () => {
    for (let round = 0; round < 2; round++) {
      const { code, stderr } = await cluster.cli("storage", "replace", "az2-full");
      expect(code, stderr).toBe(0);
      const pid = (await cluster.pids()).get("az2-full") ?? 0;
      expect(listeningPorts(pid)).toHaveLength(1);
    }
  });

  it("resumes, on ports of its own again", async () => {
    await cluster.query("CREATE TABLE kept AS SELECT generate_series(1, 10) AS n");
    await cluster.down();
    await cluster.up();
    const { rows } = await cluster.query("SELECT count(*)::int AS n FROM kept");
    expect(rows).toEqual([{ n: 10 }]);
  });
});
