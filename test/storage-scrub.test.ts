/** Who has a storage node scrub its log is told how far it is. In process, over a real folder and a real link. */
import { afterEach, expect, it } from "vitest";
import { openLogger, realClock, realDisk, realEntropy } from "../src/io/index.ts";
import { scrubNode } from "../src/log-driver/index.ts";
import { runStorageNode, type StorageNode } from "../src/storage-node/index.ts";
import { base, NodeGroup, own } from "./helpers/storage-process.ts";

let running: { readonly group: NodeGroup; readonly node: StorageNode } | undefined;
afterEach(async () => {
  await running?.node.close();
  await running?.group.destroy();
});

it("a scrub that was asked for tells bytes of the log as it reads them, and ends with all of them", async () => {
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
  await own(await group.node(0).link(), group, 1, base);
  const appender = await group.node(0).appender();
  const totalBytes = 5 * 900_000;
  for (let at = base, n = 0; n < 5; n++)
    await appender.untilAcked((at = appender.send(1, at, 900_000)));
  const told: (readonly [checkedBytes: number, totalBytes: number])[] = [];
  const found = await scrubNode(
    { name: "n", nodeId, address },
    { volumeId, sender: "test" },
    {
      clock: realClock,
      onProgress: (...reach) => void told.push(reach),
    },
  );
  expect(found).toMatchObject({ checkedBytes: totalBytes, unhealed: 0, problem: null });
  // At once with the first stretch, then a few times a second.
  expect(told.length).toBeGreaterThan(0);
  for (const [at, [checkedBytes, total]] of told.entries()) {
    expect(total).toBe(totalBytes);
    expect(checkedBytes).toBeGreaterThan(told[at - 1]?.[0] ?? 0);
    expect(checkedBytes).toBeLessThanOrEqual(totalBytes);
  }
});
