/** Storage nodes as objects of this process over real folders, restarted as a supervisor would. */
import { randomUUID } from "node:crypto";
import { epoch, timeline } from "../../src/base/ids.ts";
import type { Lsn } from "../../src/base/lsn.ts";
import { parseDataKeys } from "../../src/keys/index.ts";
import {
  type Clock,
  type Disk,
  openLogger,
  realClock,
  realDisk,
  realEntropy,
} from "../../src/io/index.ts";
import {
  extendHistory,
  type History,
  type HistoryEntry,
  type NodeLink,
  type QuorumMessage,
} from "../../src/quorum/index.ts";
import { runStorageNode, type StorageNode } from "../../src/storage-node/index.ts";
import { type Appender, base, claim, NodeGroup, patiently, stateOf } from "./storage-process.ts";

const segmentBytes = 2 * 1024 * 1024;

/** As a loop over the real clock, from the sources, unless told. Workers are threads, which need what is built. */
interface HowToRun {
  readonly run?: typeof runStorageNode;
  readonly appendPath?: "loop" | "worker";
  readonly clock?: Clock;
}

/** Nodes of one volume; `on` speaks to one of them, over a link that is opened anew when the node was restarted. */
export class LocalNodes {
  readonly group: NodeGroup;
  readonly running: (StorageNode | undefined)[] = [];
  readonly fatal: unknown[] = [];
  /** How often each node was started. */
  readonly starts: number[] = [];
  private readonly links: (NodeLink | undefined)[] = [];
  private readonly disks: Disk[] = [];
  private readonly how: HowToRun;
  private isOver = false;

  private constructor(group: NodeGroup, how: HowToRun) {
    this.group = group;
    this.how = how;
  }

  static async start(
    names: readonly string[],
    disk: Disk = realDisk,
    how: HowToRun = {},
  ): Promise<LocalNodes> {
    const group = await NodeGroup.create("", names);
    const nodes = new LocalNodes(group, how);
    for (const index of names.keys()) {
      nodes.disks[index] = disk;
      await nodes.start(index);
    }
    return nodes;
  }

  async start(index: number): Promise<void> {
    const { dir, socketPath, nodeId } = this.group.node(index);
    const peers = this.group.nodes
      .filter((_, other) => other !== index)
      .map((peer, other) => ({
        name: `peer${other}`,
        nodeId: peer.nodeId,
        address: { kind: "unix" as const, path: peer.socketPath },
      }));
    this.starts[index] = (this.starts[index] ?? 0) + 1;
    const { run = runStorageNode, appendPath = "loop", clock = realClock } = this.how;
    this.running[index] = await run(
      {
        volumeId: this.group.volumeId,
        nodeId,
        name: `n${index}`,
        dir,
        address: { kind: "unix", path: socketPath },
        peers,
        appendPath,
        segmentBytes,
        dataKeys: parseDataKeys(this.group.dataKeys),
      },
      {
        clock,
        disk: this.disks[index] ?? realDisk,
        entropy: realEntropy,
        logger: openLogger({ file: process.env["NODE_LOG"], process: `n${index}` }),
        onFatal: (error) => {
          this.fatal.push(error);

          this.restart(index).catch((reason: unknown) => void this.fatal.push(reason));
        },
      },
    );
  }

  /** Ends the node and starts it again on what its disk has. */
  async restart(index: number): Promise<void> {
    await this.stop(index);
    if (!this.isOver) await this.start(index);
  }

  async stop(index: number): Promise<void> {
    const node = this.running[index];
    this.running[index] = undefined;
    this.links[index]?.close();
    this.links[index] = undefined;
    await node?.abandon();
  }

  node(index: number): StorageNode {
    const node = this.running[index];
    if (!node) throw new Error(`node ${index} is down`);
    return node;
  }

  async on(index: number): Promise<NodeLink> {
    const link = this.links[index];
    if (link && !link.closed) return link;
    const fresh = await this.group.node(index).link();
    this.links[index] = fresh;
    return fresh;
  }

  async ask(index: number, message: QuorumMessage): Promise<QuorumMessage> {
    return (await this.on(index)).request(message, { timeoutMs: 10_000 });
  }

  appender(index: number): Promise<Appender> {
    return this.group.node(index).appender();
  }

  /** Claims and elects `of` at these nodes, on `path` continued at `start`. */
  async elect(
    indices: readonly number[],
    facts: {
      readonly of: number;
      readonly path: History;
      readonly start: Lsn;
      readonly kind?: HistoryEntry["kind"];
      readonly low?: Lsn;
    },
  ): Promise<History> {
    const { of, start, kind = "branch", low = base } = facts;
    const claimId = randomUUID();
    const entry: HistoryEntry = { epoch: epoch(of), timeline: timeline(1), start, kind };
    const history = extendHistory(facts.path, entry);
    const configuration = { ...this.group.configuration, id: { epoch: epoch(of), version: 1 } };
    for (const index of indices) await claim(await this.on(index), of, claimId);
    for (const index of indices) {
      const answer = await this.ask(index, {
        kind: "elect",
        epoch: epoch(of),
        claimId,
        history,
        start,
        configuration,
        low,
        floor: base,
      });
      if (answer.kind !== "electAck") throw new Error(`elect ${of} at ${index}: ${answer.kind}`);
    }
    return history;
  }

  /** Appends `pieces` of `length` bytes to each of these nodes, each acknowledged before the next. */
  async append(
    indices: readonly number[],
    facts: {
      readonly of: number;
      readonly from: Lsn;
      readonly pieces: number;
      readonly length: number;
    },
  ): Promise<Lsn> {
    let end = facts.from;
    for (const index of indices) {
      const appender = await this.appender(index);
      end = facts.from;
      for (let i = 0; i < facts.pieces; i++) {
        end = appender.send(facts.of, end, facts.length);
        await appender.untilAcked(end);
      }
      appender.close();
    }
    return end;
  }

  untilHealthy(index: number, scl: Lsn): Promise<boolean> {
    return patiently(`node ${index} is whole`, async () => {
      const state = await stateOf(await this.on(index)).catch(() => undefined);
      return state?.health === "ok" && state.scl >= scl;
    }) as Promise<boolean>;
  }

  async close(): Promise<void> {
    this.isOver = true;
    for (const index of this.running.keys()) await this.stop(index);
    await this.group.destroy();
  }
}
