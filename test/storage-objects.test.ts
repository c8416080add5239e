/** Objects on storage nodes: real processes keep what a store has to, whatever is done to them. */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { BorealisError } from "../src/base/errors.ts";
import { nodeId } from "../src/base/ids.ts";
import { advance } from "../src/base/lsn.ts";
import { type Disk, realClock, realDisk, realRng } from "../src/io/index.ts";
import { NodeStore, type NodeStoreLimits } from "../src/log-driver/index.ts";
import {
  decodeObjectMessage,
  encodeMessage,
  encodeObjectMessage,
  type LinkPurpose,
  MessageFramer,
  type ObjectMessage,
  objectPartBytesMax,
  openLink,
} from "../src/quorum/index.ts";
import { formatStorageNode } from "../src/storage-node/index.ts";
import {
  type ObjectStore,
  snapshotObject,
  tombstoneObject,
  volumeObject,
} from "../src/volume/index.ts";
import { mayMount, mountMemory, unmount } from "./helpers/mounts.ts";
import { extentOf, objectStoreContract } from "./helpers/object-store-contract.ts";
import { LocalNodes } from "./helpers/storage-nodes.ts";
import {
  base,
  storageNodeProgram,
  NodeGroup,
  type NodeProcess,
  own,
  patiently,
  stateOf,
} from "./helpers/storage-process.ts";

let program: string;
const groups: NodeGroup[] = [];
const stores: ObjectStore[] = [];
beforeAll(async () => {
  program = await storageNodeProgram();
});
afterEach(async () => {
  for (const store of stores.splice(0)) await store.close();
  for (const group of groups.splice(0)) await group.destroy();
});

async function aNode(options: { kind?: "full" | "tail" } = {}): Promise<NodeProcess> {
  const group = await NodeGroup.create(program, ["n"]);
  groups.push(group);
  const node = group.node(0);
  node.start(options);
  (await node.link()).close();
  return node;
}

let senders = 0;
function storeAt(
  node: Pick<NodeProcess, "linkOptions">,
  { sender = `test-${++senders}`, ...limits }: Partial<NodeStoreLimits> & { sender?: string } = {},
): NodeStore {
  const { address, volumeId, nodeId: own } = node.linkOptions();
  const store = new NodeStore({
    endpoint: { nodeId: own, name: "az1-full", address },
    owner: { volumeId, sender },
    clock: realClock,
    rng: realRng,
    // For hosts whose disks are busy with other tests.
    limits: { answerTimeoutMs: 60_000, patienceMs: 60_000, ...limits },
  });
  stores.push(store);
  return store;
}

async function failureOf(promise: Promise<unknown>): Promise<BorealisError> {
  const error: unknown = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (error instanceof BorealisError) return error;
  throw new Error(`not a BorealisError: ${String(error)}`, { cause: error });
}

async function namesIn(store: ObjectStore): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of store.list("")) names.push(name);
  return names;
}

/** What puts have written that are not whole. */
function drafts(dir: string): string[] {
  const folder = join(dir, "objects/making");
  return existsSync(folder) ? readdirSync(folder) : [];
}

/** An object link that says what the test wants, and when. */
async function rawLink(
  node: Pick<NodeProcess, "linkOptions">,
  sender = "raw",
  purpose: LinkPurpose = "object",
) {
  const options = { ...node.linkOptions(), sender };
  const { connection, early } = await openLink(options, purpose);
  const framer = new MessageFramer();
  const heard: ObjectMessage[] = [];
  const state = { isClosed: false };
  const onData = (chunk: Buffer): void => {
    for (const one of framer.push(chunk)) heard.push(decodeObjectMessage(Buffer.from(one)).message);
  };
  connection.onEnd(() => connection.end());
  connection.onClose(() => (state.isClosed = true));
  if (early.length > 0) onData(early);
  connection.onData(onData);
  const { volumeId, nodeId: target } = options;
  return {
    heard,
    state,
    send: (requestId: bigint, message: ObjectMessage, to = target): void => {
      connection.write(encodeObjectMessage({ volumeId, sender, target: to, requestId }, message));
    },
    sendBytes: (bytes: Buffer): void => void connection.write(bytes),
    close: (): void => connection.destroy(),
  };
}

describe("a full node", () => {
  let node: NodeProcess;
  let group: NodeGroup;
  beforeAll(async () => {
    group = await NodeGroup.create(program, ["n"]);
    node = group.node(0);
    node.start();
    (await node.link()).close();
  });
  afterAll(() => group.destroy());

  objectStoreContract("NodeStore", async () => {
    const store = storeAt(node);
    await store.delete(await namesIn(store));
    return store;
  });

  it("takes no name that is none, and no object of such a name is there", async () => {
    const store = storeAt(node);
    for (const name of ["../state", "extents/../../state", "making/x", "", "x".repeat(200)]) {
      expect((await failureOf(store.put(name, Buffer.from("x")))).code).toBe("58030");
      expect(await store.get(name)).toBeUndefined();
      expect((await store.has([name])).size).toBe(0);
      await store.delete([name]);
    }
    expect(existsSync(join(node.dir, "state"))).toBe(true);
  });

  it("hangs up on a link that breaks the protocol, and serves the others", async () => {
    const store = storeAt(node);
    await store.put(volumeObject, Buffer.from("well"));
    const envelope = { ...node.linkOptions(), target: node.nodeId, requestId: 1n };
    type Raw = Awaited<ReturnType<typeof rawLink>>;
    const bytes = Buffer.from("abc");
    const wrongs: ((link: Raw) => void)[] = [
      (link) => link.sendBytes(randomBytes(100)),
      (link) => link.sendBytes(encodeMessage(envelope, { kind: "inspect" })),
      (link) => link.send(1n, { kind: "objectPart", bytes }),
      (link) => link.send(1n, { kind: "objectsDone" }),
      (link) => link.send(1n, { kind: "getObject", name: volumeObject }, nodeId(groupId)),
      (link) => {
        link.send(1n, { kind: "putObject", name: volumeObject, sizeBytes: 4, bytes });
        link.send(1n, { kind: "objectPart", bytes });
      },
      (link) => {
        for (const id of [1n, 1n])
          link.send(id, { kind: "putObject", name: volumeObject, sizeBytes: 4, bytes });
      },
      (link) => {
        for (let id = 1n; id < 100n; id++)
          link.send(id, { kind: "putObject", name: volumeObject, sizeBytes: 4, bytes });
      },
    ];
    const groupId = "99999999-0000-4000-8000-000000000001";
    for (const [at, wrong] of wrongs.entries()) {
      const link = await rawLink(node, `wrong-${at}`);
      wrong(link);
      await patiently(`wrong ${at} is closed`, () => link.state.isClosed);
    }
    expect((await store.get(volumeObject))?.toString()).toBe("well");
    await patiently("nothing is left of them", () => drafts(node.dir).length === 0);
    // An object is no word of a control link either.
    const control = await rawLink(node, "wrong", "control");
    control.send(1n, { kind: "getObject", name: volumeObject });
    await patiently("the control link is closed", () => control.state.isClosed);
  });

  it("forgets what is taken back, or cut off by the end of its link", async () => {
    const store = storeAt(node);
    const name = extentOf(77);
    const begin = { kind: "putObject", name, sizeBytes: 10, bytes: Buffer.from("half ") } as const;
    const link = await rawLink(node);
    for (const id of [1n, 2n]) link.send(id, begin);
    await patiently("they are under way", () => drafts(node.dir).length === 2);
    link.send(1n, { kind: "objectPart", bytes: Buffer.alloc(0) });
    await patiently("one was taken back", () => drafts(node.dir).length === 1);
    link.close();
    await patiently("the other went with its link", () => drafts(node.dir).length === 0);
    expect(await store.get(name)).toBeUndefined();
    expect(link.heard).toEqual([]);
  });

  it("lets nothing come after a delete that its sender has put before, on a link that it gave up", async () => {
    const name = snapshotObject("gone");
    const old = await rawLink(node, "keeper");
    old.send(1n, { kind: "putObject", name, sizeBytes: 10, bytes: Buffer.from("half ") });
    await patiently("it is under way", () => drafts(node.dir).length === 1);
    const other = await rawLink(node, "somebody");
    const store = storeAt(node, { sender: "keeper" });
    expect(await store.get(name)).toBeUndefined();
    expect(old.state.isClosed).toBe(false);
    await store.delete([name]);
    old.send(1n, { kind: "objectPart", bytes: Buffer.from("whole") });
    await patiently("the old link is ended", () => old.state.isClosed);
    await patiently("nothing of it is left", () => drafts(node.dir).length === 0);
    expect(await store.get(name)).toBeUndefined();
    expect(other.state.isClosed).toBe(false);
    other.close();
  });

  it("holds no more than some parts of a large object, whoever is slow", async () => {
    const peakBytes = (): number => {
      const status = readFileSync(`/proc/${node.pid}/status`, "utf8");
      return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
    };
    const store = storeAt(node);
    const size = 160 * 1024 ** 2;
    await store.put(snapshotObject("small"), randomBytes(objectPartBytesMax));
    const before = peakBytes();
    const bytes = Buffer.alloc(size, "a manifest of some size");
    await store.put(snapshotObject("big"), bytes);
    // A reader that does not read.
    const slow = await rawLink(node, "slow");
    for (let id = 1n; id <= 4n; id++)
      slow.send(id, { kind: "getObject", name: snapshotObject("big") });
    expect((await store.get(snapshotObject("big")))?.equals(bytes)).toBe(true);
    slow.close();
    expect(peakBytes() - before).toBeLessThan(96 * 1024 ** 2);
    await store.delete([snapshotObject("big"), snapshotObject("small")]);
  }, 120_000);
});

describe("a node", () => {
  it("of the tail kind keeps no objects, and says so", async () => {
    const node = await aNode({ kind: "tail" });
    const store = storeAt(node);
    const acts = [
      () => store.put(volumeObject, Buffer.from("x")),
      () => store.put(snapshotObject("large"), Buffer.alloc(5 * objectPartBytesMax)),
      () => store.get(volumeObject),
      () => store.has([volumeObject]),
      () => namesIn(store),
      () => store.delete([volumeObject]),
      () => store.tidy(Date.now()),
    ];
    for (const act of acts) {
      const error = await failureOf(act());
      expect(error.code).toBe("58030");
      expect(error.message).toContain("is a tail node, which keeps log only");
      expect(error.hint).toContain("only full storage nodes keep objects");
    }
    expect(existsSync(join(node.dir, "objects"))).toBe(false);
  });

  it("keeps what it acknowledged through kill -9 in the middle of puts, and shows nothing by half", async () => {
    const node = await aNode();
    const sent = new Map<string, Buffer>();
    const acknowledged = new Set<string>();
    let count = 0;
    for (let round = 0; round < 3; round++) {
      const dying = storeAt(node, { patienceMs: 0 });
      const lane = async (): Promise<void> => {
        for (;;) {
          const name = ++count % 5 === 0 ? snapshotObject(`s-${count}`) : extentOf(count);
          const bytes = randomBytes(
            name.startsWith("s") ? 3_000_000 : 1 + ((count * 97_813) % 900_000),
          );
          sent.set(name, bytes);
          try {
            await dying.put(name, bytes);
          } catch {
            return;
          }
          acknowledged.add(name);
        }
      };
      const before = acknowledged.size;
      const lanes = Array.from({ length: 6 }, lane);
      await patiently("some are kept", () => acknowledged.size >= before + 12);
      await node.kill("SIGKILL");
      await Promise.all(lanes);
      node.start();
      const store = storeAt(node);
      const found = await namesIn(store);
      expect(drafts(node.dir)).toEqual([]);
      for (const name of acknowledged) expect(found).toContain(name);
      for (const name of found) {
        const given = await store.get(name);
        expect(given?.equals(sent.get(name) ?? Buffer.alloc(0)), name).toBe(true);
      }
    }
  }, 180_000);

  it("may be restarted: calls go on where it is back, and say so where it is not", async () => {
    const node = await aNode();
    const store = storeAt(node);
    await store.put(volumeObject, Buffer.from("first"));
    await node.kill("SIGKILL");
    const calls = [
      store.put(extentOf(1), Buffer.from("one")),
      store.get(volumeObject),
      store.has([volumeObject]),
      namesIn(store),
    ] as const;
    node.start();
    const [, given, found] = await Promise.all(calls);
    expect(given?.toString()).toBe("first");
    expect([...found]).toEqual([volumeObject]);
    expect((await store.get(extentOf(1)))?.toString()).toBe("one");
    const hasty = storeAt(node, { patienceMs: 100 });
    await hasty.get(volumeObject);
    await node.kill("SIGKILL");
    for (let call = 0; call < 3; call++) {
      const error = await failureOf(hasty.get(volumeObject));
      expect(error.code).toBe("58030");
      expect(error.message).toContain("cannot read volume.json at az1-full");
      expect(error.hint).toContain("borealis status");
    }
    const waiting = failureOf(store.get(volumeObject));
    await store.close();
    expect((await waiting).message).toContain("the store was closed");
  });

  it("that says nothing is hung up on, and asked again", async () => {
    const node = await aNode();
    const store = storeAt(node, { answerTimeoutMs: 500, dialTimeoutMs: 500 });
    await store.put(volumeObject, Buffer.from("x"));
    process.kill(node.pid, "SIGSTOP");
    const hasty = storeAt(node, { answerTimeoutMs: 500, dialTimeoutMs: 500, patienceMs: 100 });
    const asked = store.get(volumeObject);
    expect((await failureOf(hasty.get(volumeObject))).code).toBe("58030");
    process.kill(node.pid, "SIGCONT");
    expect((await asked)?.toString()).toBe("x");
  });

  it("whose folder was deleted takes no object more, and makes no folder anew", async () => {
    const node = await aNode();
    const store = storeAt(node, { patienceMs: 100, dialTimeoutMs: 500 });
    await store.put(volumeObject, Buffer.from("x"));
    rmSync(node.dir, { recursive: true, force: true, maxRetries: 10 });
    expect((await failureOf(store.put(extentOf(1), Buffer.from("x")))).code).toBe("58030");
    await node.untilGone();
    expect(existsSync(node.dir)).toBe(false);
  });

  it("that has lost log gives what objects it has, and vouches for none", async () => {
    const node = await aNode();
    const store = storeAt(node);
    await store.put(volumeObject, Buffer.from("x"));
    const link = await node.link();
    await own(link, groups[0] ?? expect.fail("no group"), 1, base);
    const appender = await node.appender();
    await appender.untilAcked(appender.send(1, base, 20_000));
    await appender.untilAcked(appender.send(1, advance(base, 20_000), 20_000));
    await node.kill("SIGKILL");
    const log = readdirSync(join(node.dir, "log")).toSorted()[0] ?? "";
    const path = join(node.dir, "log", log);
    const bytes = readFileSync(path);
    bytes[10_000] = (bytes[10_000] ?? 0) ^ 1;
    writeFileSync(path, bytes);
    node.start();
    const again = await node.link();
    expect((await stateOf(again)).health).toBe("damaged");
    expect((await store.get(volumeObject))?.toString()).toBe("x");
    expect(await namesIn(store)).toEqual([volumeObject]);
    for (const act of [
      () => store.put(extentOf(1), Buffer.from("y")),
      () => store.has([volumeObject]),
    ]) {
      const error = await failureOf(act());
      expect(error.code).toBe("58030");
      expect(error.message).toContain("has lost log to a damaged disk");
    }
    await store.delete([volumeObject]);
  });

  it("ends for good when its disk fails under an object, as it does for log", async () => {
    const world = { isBroken: false };
    const disk: Disk = {
      ...realDisk,
      open: async (path, mode) => {
        const file = await realDisk.open(path, mode);
        if (!path.includes("/making/") || !world.isBroken) return file;
        const failed = Object.assign(new Error("EIO: i/o error, fsync"), { code: "EIO" });
        return Object.assign(Object.create(file), { sync: () => Promise.reject(failed) });
      },
    };
    const local = await LocalNodes.start(["n"], disk);
    try {
      const process = local.group.node(0);
      const store = storeAt(process, { patienceMs: 100, dialTimeoutMs: 500 });
      await store.put(volumeObject, Buffer.from("x"));
      world.isBroken = true;
      expect((await failureOf(store.put(extentOf(1), Buffer.from("y")))).code).toBe("58030");
      await patiently("the node has failed", () => local.fatal.length > 0);
      expect(existsSync(`${process.dir}.failed`)).toBe(true);
      expect(drafts(process.dir)).toEqual([]);
    } finally {
      await local.close();
    }
  });
});

describe.skipIf(!mayMount())("a small disk (skipped where nothing may be mounted)", () => {
  const segmentBytes = 2 * 1024 * 1024;
  const reservedBytes = 16 * segmentBytes;

  it("that is full refuses objects (53100), keeps the log's room, and is good again with space", async () => {
    const group = await NodeGroup.create(program, ["n"]);
    const node = group.node(0);
    rmSync(node.dir, { recursive: true });
    mkdirSync(node.dir);
    mountMemory(node.dir, reservedBytes + 40 * 1024 ** 2);
    try {
      const { volumeId } = group;
      await formatStorageNode(node.dir, { volumeId, nodeId: node.nodeId, base });
      node.start();
      (await node.link()).close();
      const store = storeAt(node);
      const kept: string[] = [];
      let error: BorealisError | undefined;
      while (!error) {
        const name = extentOf(kept.length);
        error = await store.put(name, randomBytes(1024 ** 2)).then(
          () => void kept.push(name),
          (thrown: BorealisError) => thrown,
        );
      }
      expect(error.code).toBe("53100");
      expect(error.hint).toContain("delete snapshots that nobody needs");
      expect(kept.length).toBeGreaterThan(8);
      // What deletes snapshots finds room; nothing else is let in under its name.
      const tombstone = tombstoneObject({ id: "s", incarnation: "0".repeat(20) });
      await store.put(tombstone, Buffer.alloc(100));
      expect((await failureOf(store.put(tombstone, randomBytes(1024 ** 2)))).code).toBe("53100");
      await store.delete([tombstone]);
      // At once: none of them takes what another one counts on.
      await store.delete(kept.splice(0, 6));
      const results = await Promise.allSettled(
        Array.from({ length: 8 }, (_, at) =>
          store.put(snapshotObject(`s${at}`), Buffer.alloc(4 * 1024 ** 2, at)),
        ),
      );
      expect(results.filter((one) => one.status === "fulfilled").length).toBeLessThan(2);
      // There is room for log although there is none for objects.
      const link = await node.link();
      await own(link, group, 1, base);
      const appender = await node.appender();
      let end = base;
      for (let i = 0; i < 10; i++) {
        end = appender.send(1, end, 1024 ** 2);
        await appender.untilAcked(end);
      }
      expect((await stateOf(link)).health).toBe("ok");
      await expectNoSpaceInTheMiddle(node, store, kept);
    } finally {
      await closeStores();
      await group.node(0).kill("SIGKILL");
      unmount(node.dir);
      await group.destroy();
    }
  }, 120_000);
});

async function closeStores(): Promise<void> {
  for (const store of stores.splice(0)) await store.close();
}

/** Somebody else takes the space while an object is on its way. */
async function expectNoSpaceInTheMiddle(
  node: NodeProcess,
  store: NodeStore,
  kept: string[],
): Promise<void> {
  await store.delete(await namesIn(store));
  kept.length = 0;
  const name = snapshotObject("unlucky");
  const link = await rawLink(node, "unlucky");
  const part = randomBytes(objectPartBytesMax);
  link.send(1n, { kind: "putObject", name, sizeBytes: 3 * part.length, bytes: part });
  await patiently("it is under way", () => drafts(node.dir).length === 1);
  const ballast = join(node.dir, "ballast");
  try {
    execFileSync("dd", ["if=/dev/zero", `of=${ballast}`, "bs=64k"], { stdio: "ignore" });
  } catch {
    // It ends when there is no space, which is what it is for.
  }
  for (let i = 0; i < 2; i++) link.send(1n, { kind: "objectPart", bytes: part });
  await patiently("it is refused", () => link.heard.length > 0);
  expect(link.heard).toMatchObject([{ kind: "objectRefused", reason: "noSpace" }]);
  await patiently("nothing is left of it", () => drafts(node.dir).length === 0);
  expect(await namesIn(store)).toEqual([]);
  rmSync(ballast);
  // The same link goes on.
  link.send(2n, { kind: "putObject", name, sizeBytes: part.length, bytes: part });
  await patiently("it is kept", () => link.heard.length > 1);
  expect(link.heard[1]).toEqual({ kind: "objectsDone" });
  expect((await store.get(name))?.equals(part)).toBe(true);
  link.close();
}
