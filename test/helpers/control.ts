/** Asks a cluster's control plane directly: what has no command yet. */
import { tmpdir } from "node:os";
import { layoutOf, runtimeDirOf } from "../../src/cluster/index.ts";
import { connectRpc } from "../../src/io/index.ts";
import type { Status, TestCluster } from "./cluster.ts";

export async function askControl(
  cluster: TestCluster,
  method: string,
  params: unknown = {},
  timeoutMs = 5_000,
): Promise<unknown> {
  const uid = process.getuid?.() ?? 0;
  const layout = layoutOf(cluster.dataDir, runtimeDirOf(tmpdir(), uid, cluster.dataDir));
  const address = { kind: "unix", path: layout.controlSocket } as const;
  const client = await connectRpc(address, { timeoutMs: 1_000 });
  try {
    return await client.call(method, params, { timeoutMs });
  } finally {
    client.close();
  }
}

/** The cluster's status. */
export function statusNow(cluster: TestCluster): Promise<Status> {
  return cluster.status();
}
