/** What a storage node does when its disk says no: full, failing writes, failing state. In process, over a real folder. */
import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { afterEach, describe, expect, it } from "vitest";
import { BorealisError } from "../src/base/errors.ts";
import { epoch } from "../src/base/ids.ts";
import { advance } from "../src/base/lsn.ts";
import {
  type Disk,
  type DiskFile,
  openLogger,
  realClock,
  realDisk,
  realEntropy,
} from "../src/io/index.ts";
import { runStorageNode, type StorageNode } from "../src/storage-node/index.ts";
import {
  base,
  bytesAt,
  claim,
  elect,
  NodeGroup,
  own,
  patiently,
  readLog,
  stateOf,
} from "./helpers/storage-process.ts";

interface Fault {
  readonly path: RegExp;
  readonly code: string;
  /** Only writes of nothing but zeros: those that allocate. */
  readonly onlyZeros?: boolean;
  /** They fail only then. */
  readonly after?: Promise<void>;
}

/** The real disk, except that writes to files whose path matches fail with this code. */
function faultyDisk(): { disk: Disk; fault: Fault | undefined } {
  const world: ReturnType<typeof faultyDisk> = {
    fault: undefined,
    disk: {
      ...realDisk,
      async open(path, mode) {
        const file = await realDisk.open(path, mode);
        const write: DiskFile["write"] = async (bytes, at) => {
          const { fault } = world;
          const isHit = fault?.path.test(path) && (!fault.onlyZeros || bytes.every((b) => b === 0));
          if (!fault || !isHit) return file.write(bytes, at);
          await fault.after;
          throw Object.assign(new Error(`${fault.code}: ${path}`), { code: fault.code });
        };
        return new Proxy(file, {
          get: (target, key) => {
            if (key === "write") return write;
            const value: unknown = Reflect.get(target, key);
            return typeof value === "function" ? value.bind(target) : value;
          },
        });
      },
    },
  };
  return world;
}

let running: { group: NodeGroup; nodes: StorageNode[] } | undefined;
afterEach(async () => {
  for (const node of running?.nodes ?? []) await node.close();
  await running?.group.destroy();
  running = undefined;
});

async function aNode() {
  const group = await NodeGroup.create("", ["n"]);
  const { dir, socketPath, nodeId } = group.node(0);
  const world = faultyDisk();
  const fatal: unknown[] = [];
  const start = (): Promise<StorageNode> =>
    runStorageNode(
      {
        volumeId: group.volumeId,
        nodeId,
        name: "n",
        dir,
        address: { kind: "unix", path: socketPath },
        peers: [],
        appendPath: "loop",
        segmentBytes: 2 * 1024 * 1024,
      },
      {
        clock: realClock,
        disk: world.disk,
        entropy: realEntropy,
        logger: openLogger({ file: undefined, process: "n" }),
        onFatal: (error) => fatal.push(error),
      },
    );
  running = { group, nodes: [await start()] };
  const link = await group.node(0).link();
  await own(link, group, 1, base);
  return { group, world, fatal, start, link, dir, appender: await group.node(0).appender() };
}

describe("a storage node", () => {
  it("with a full disk takes no appends, still promises and serves, and goes on when there is space", async () => {
    const { group, world, link, appender } = await aNode();
    await appender.untilAcked(appender.send(1, base, 900_000));
    world.fault = { path: /\.log$/, code: "ENOSPC", onlyZeros: true };
    // A file made before may still take some of it.
    let end = advance(base, 900_000);
    const isFull = async (): Promise<boolean> => (await stateOf(link)).health === "full";
    for (let i = 0; i < 8 && !(await isFull()); i++) {
      end = appender.send(1, end, 900_000);
      await patiently(
        "the append is taken or the node full",
        async () => appender.acked >= end || isFull(),
      );
    }
    expect(await isFull()).toBe(true);
    const { scl } = await stateOf(link);
    appender.send(1, scl, 900_000);
    await patiently("an append is refused", () =>
      appender.answers.some((answer) => answer.kind === "refuse" && answer.reason === "full"),
    );
    expect((await readLog(link, base, scl)).equals(bytesAt(base, Number(scl - base)))).toBe(true);
    const { promise } = await own(link, group, 2);
    expect(promise.scl).toBe(scl);
    world.fault = undefined;
    await patiently("there is space again", async () => (await stateOf(link)).health === "ok");
    await appender.untilAcked(appender.send(2, scl, 900_000));
  });

  it("whose disk fills up in the middle of a pull promises, and is filled when there is space", async () => {
    const group = await NodeGroup.create("", ["full", "peer"]);
    const world = faultyDisk();
    const fatal: unknown[] = [];
    const start = (index: number, disk: Disk): Promise<StorageNode> => {
      const { dir, socketPath, nodeId } = group.node(index);
      const other = group.node(1 - index);
      const address = { kind: "unix" as const, path: other.socketPath };
      const peers = [{ name: "other", nodeId: other.nodeId, address }];
      const { volumeId } = group;
      const logger = openLogger({ file: undefined, process: "n" });
      const own = { kind: "unix" as const, path: socketPath };
      const place = { dir, address: own, segmentBytes: 2 * 1024 * 1024 };
      return runStorageNode(
        { volumeId, nodeId, name: "n", peers, appendPath: "loop", ...place },
        {
          clock: realClock,
          disk,
          entropy: realEntropy,
          logger,
          onFatal: (error) => fatal.push(error),
        },
      );
    };
    running = { group, nodes: [await start(1, realDisk)] };
    const peer = await group.node(1).link();
    await own(peer, group, 1, base);
    const appender = await group.node(1).appender();
    let end = base;
    for (let i = 0; i < 4; i++) await appender.untilAcked((end = appender.send(1, end, 900_000)));
    let fillUp = (): void => undefined;
    const after = new Promise<void>((resolve) => {
      fillUp = resolve;
    });
    world.fault = { path: /\.log$/, code: "ENOSPC", onlyZeros: true, after };
    const node = await start(0, world.disk);
    running.nodes.push(node);
    const link = await group.node(0).link();
    await own(link, group, 1, base);
    // It asks its peer by itself, and has nowhere to put the answer.
    await patiently("it has pulled something", () => node.acceptorView.end > base);
    const claimId = randomUUID();
    const claiming = claim(link, 2, claimId);
    fillUp();
    expect((await claiming).scl).toBe(base);
    expect((await stateOf(link)).health).toBe("full");
    const { history } = (await own(peer, group, 2, end)).promise;
    await elect(link, group, { of: 2, claimId, start: end, history });
    world.fault = undefined;
    await patiently("it has been filled", async () => (await stateOf(link)).scl === end);
    expect(fatal).toEqual([]);
  });

  it("whose log cannot be written acknowledges nothing more, and never serves that disk again", async () => {
    const { world, fatal, start, dir, appender } = await aNode();
    const acked = appender.send(1, base, 1_000);
    await appender.untilAcked(acked);
    world.fault = { path: /\.log$/, code: "EIO" };
    appender.send(1, acked, 1_000);
    await patiently("the node has failed", () => fatal.length > 0);
    expect(existsSync(`${dir}.failed`)).toBe(true);
    expect(appender.acked).toBe(acked);
    world.fault = undefined;
    await expect(start()).rejects.toThrow("is marked as failed");
  });

  it("whose state cannot be written makes no promise", async () => {
    const { world, fatal, link } = await aNode();
    world.fault = { path: /state$/, code: "EIO" };
    const claim = link.request(
      { kind: "claim", epoch: epoch(2), claimId: randomUUID(), claimant: "t" },
      { timeoutMs: 500 },
    );
    await expect(claim).rejects.toThrow(BorealisError);
    expect(fatal.length).toBe(1);
  });
});
