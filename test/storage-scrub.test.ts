/** Who has a storage node scrub its log is told how far it is. In process, over a real folder and a real link. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import { openLogger, realClock, realDisk, realEntropy } from "../src/io/index.ts";
import { inspectNode, type NodeEndpoint, scrubNode } from "../src/log-driver/index.ts";
import { runStorageNode, type StorageNode } from "../src/storage-node/index.ts";
import { until } from "./helpers/cluster.ts";
import { base, NodeGroup, own } from "./helpers/storage-process.ts";

let running: { readonly group: NodeGroup; readonly node: StorageNode } | undefined;
afterEach(async () => {
  await running?.node.close();
  await running?.group.destroy();
});

async function startNode(): Promise<{ group: NodeGroup; endpoint: NodeEndpoint }> {
  const group = await NodeGroup.create("", ["n"]);
  const { volumeId } = group;
  const { dir, socketPath, nodeId } = group.node(0);
  const address = { kind: "unix", path: socketPath } as const;
  const node = await runStorageNode(
    { volumeId, nodeId, name: "n", dir, address, peers: [], appendPath: "loop" },
    {
      clock: realClock,
      disk: realDisk,
      entropy: realEntropy,
      logger: openLogger({ file: undefined, process: "n" }),
      onFatal: (error) => expect.unreachable(String(error)),
    },
  );
  running = { group, node };
  return { group, endpoint: { name: "n", nodeId, address } };
}

it("a scrub that was asked for tells bytes of the log as it reads them, and ends with all of them", async () => {
  const { group, endpoint } = await startNode();
  await own(await group.node(0).link(), group, 1, base);
  const appender = await group.node(0).appender();
  const totalBytes = 5 * 900_000;
  for (let at = base, n = 0; n < 5; n++)
    await appender.untilAcked((at = appender.send(1, at, 900_000)));
  const told: (readonly [checkedBytes: number, totalBytes: number])[] = [];
  const owner = { volumeId: group.volumeId, sender: "test" };
  const found = await scrubNode(endpoint, owner, {
    clock: realClock,
    onProgress: (...reach) => void told.push(reach),
  });
  expect(found).toMatchObject({ checkedBytes: totalBytes, unhealed: 0, problem: null });
  // At once with the first stretch, then a few times a second.
  expect(told.length).toBeGreaterThan(0);
  for (const [at, [checkedBytes, total]] of told.entries()) {
    expect(total).toBe(totalBytes);
    expect(checkedBytes).toBeGreaterThan(told[at - 1]?.[0] ?? 0);
    expect(checkedBytes).toBeLessThanOrEqual(totalBytes);
  }
});

it("a node tells how much it has made whole since it began", async () => {
  const { group, endpoint } = await startNode();
  const owner = { volumeId: group.volumeId, sender: "test" };
  const healed = async (): Promise<number | undefined> =>
    (await inspectNode(endpoint, owner, { clock: realClock, timeoutMs: 1_000 }))?.healed;
  expect(await healed()).toBe(0);
  // In the first slot, which has the older state or the newer.
  const path = join(group.node(0).dir, "state");
  const bytes = readFileSync(path);
  const slot = bytes.subarray(0, 64);
  slot.writeUInt8(slot.readUInt8(24) ^ 1, 24);
  writeFileSync(path, bytes);
  const { healed: atScrub, unhealed } = await scrubNode(endpoint, owner, { clock: realClock });
  expect({ atScrub, unhealed }).toEqual({ atScrub: 1, unhealed: 0 });
  await until("it is told", async () => (await healed()) === 1);
});
