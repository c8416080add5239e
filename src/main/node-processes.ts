import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { present } from "../base/assert.ts";
import { nodeId, volumeId } from "../base/ids.ts";
import { parseLsn } from "../base/lsn.ts";
import { messageOf } from "../base/errors.ts";
import type { Logger } from "../io/index.ts";
import {
  addressBook,
  type ClusterState,
  type DiskVerdict,
  type InjectedNodes,
  type Layout,
  leavingName,
  nodeDir,
  nodeFaultsSchema,
  type NodePorts,
  type NodeState,
  type ProcessReport,
  replacedDir,
} from "../cluster/index.ts";
import { formatStorageNode, judgeFolder } from "../storage-node/index.ts";
import type { ManagedProcess } from "./managed-process.ts";
import { syncFolder } from "./replace-file.ts";

/** One storage node to run. */
export interface NodeFacts {
  /** Of its process: the place's name, or leavingName of it. */
  readonly name: string;
  /** Of its place in the group. */
  readonly id: string;
  readonly nodeId: string;
  readonly kind: NodeState["kind"];
  readonly dir: string;
  readonly address: string;
  readonly peers: readonly { nodeId: string; name: string; address: string }[];
}

export interface NodeProcessesOptions {
  readonly layout: Layout;
  readonly logger: Logger;
  /** As control/state.json says now. */
  readonly state: () => ClusterState;
  readonly nodePorts: NodePorts;
  readonly config: (node: NodeFacts) => unknown;
  readonly process: (
    name: string,
    how: { readonly config: () => unknown; readonly mayStart: () => Promise<boolean> },
  ) => ManagedProcess;
}

interface RunningNode {
  readonly facts: NodeFacts;
  readonly process: ManagedProcess;
  disk: DiskVerdict | undefined;
}

const stopMs = 5_000;
const tellMs = 10_000;
const faultMs = 2_000;
/** Somebody looks at the status. */
const faultsMs = 500;

/**
 * The processes and folders of the storage nodes, as control/state.json says. The node that has a name lives in
 * `storage/NAME`; while it joins, the member whose place it takes lives in `storage/.replaced/NAME-ID`, and runs there
 * until it is out: it may be one of the four that hold a commit.
 */
export class NodeProcesses {
  private readonly options: NodeProcessesOptions;
  private readonly running = new Map<string, RunningNode>();
  /** Names of those that were asked for faults: others have none, and are not asked. */
  private readonly faulty = new Set<string>();
  private changing: Promise<unknown> = Promise.resolve();

  constructor(options: NodeProcessesOptions) {
    this.options = options;
    for (const facts of this.wanted()) this.add(facts);
  }

  get all(): ManagedProcess[] {
    return [...this.running.values()].map(({ process }) => process);
  }

  /** The processes of the places of these names. Undefined for a name that is none. */
  find(id: string): ManagedProcess[] | undefined {
    const found = [...this.running.values()].filter(({ facts }) => facts.id === id);
    return found.length > 0 ? found.map(({ process }) => process) : undefined;
  }

  get names(): string[] {
    return this.options.state().nodes.map((node) => node.id);
  }

  diskOf(name: string): Pick<ProcessReport, "disk"> {
    const disk = this.running.get(name)?.disk;
    return disk === undefined ? {} : { disk };
  }

  /** Asks these for a fault; gives who has taken it, and until when, or why not. */
  injectFault(ids: readonly string[], order: unknown): Promise<InjectedNodes> {
    return Promise.all(
      ids.map(async (id) => {
        const process = this.running.get(id)?.process;
        if (!process) return { id, untilMs: null, why: "there is no such node" };
        this.faulty.add(id);
        try {
          const { active } = nodeFaultsSchema.parse(
            await process.ask("injectFault", order, faultMs),
          );
          return { id, untilMs: active.at(-1)?.untilMs ?? null, why: null };
        } catch (error) {
          return { id, untilMs: null, why: messageOf(error) };
        }
      }),
    );
  }

  /** Nothing of one that has none, or does not answer. */
  async faultsOf(name: string): Promise<Pick<ProcessReport, "faults">> {
    const process = this.faulty.has(name) ? this.running.get(name)?.process : undefined;
    const answer = await process?.ask("faults", {}, faultsMs).catch(() => undefined);
    return answer === undefined ? {} : { faults: nodeFaultsSchema.parse(answer) };
  }

  /** Starts who is new, stops and wipes who is out, tells everybody of it. May be repeated. */
  followState(): Promise<void> {
    return this.inTurn(async () => {
      const wanted = this.wanted();
      for (const [name, { facts }] of this.running) {
        const same = wanted.find((one) => one.name === name);
        if (same?.nodeId !== facts.nodeId) await this.remove(name);
      }
      for (const facts of wanted) {
        const known = this.running.get(facts.name);
        if (known) this.tellPeers(known.process, facts);
        else this.add(facts).start();
      }
      this.wipeReplaced();
    });
  }

  /**
   * Makes the disk of the successor that the state names, in the place of the member's, which is moved aside and runs on
   * from there. May be repeated as long as the successor has not run.
   */
  makeNext(id: string): Promise<void> {
    return this.inTurn(async () => {
      const { layout } = this.options;
      const state = this.options.state();
      const place = state.nodes.find((one) => one.id === id);
      if (!place?.next || place.next.isMade) return;
      for (const name of [id, leavingName(id)]) await this.remove(name);
      this.moveAside(place);
      for (const facts of this.wanted()) if (facts.id === id) this.add(facts).start();
      const draft = `${layout.storageDir}/.next-${id}`;
      rmSync(draft, { recursive: true, force: true });
      await formatStorageNode(draft, {
        volumeId: volumeId(state.volumeId),
        nodeId: nodeId(place.next.nodeId),
        base: parseLsn(state.genesisLsn),
      });
      renameSync(draft, nodeDir(layout, id));
      // Before the state says that it is made.
      syncFolder(layout.storageDir);
    });
  }

  private inTurn(change: () => Promise<void>): Promise<void> {
    const next = this.changing.then(change, change);
    this.changing = next;
    return next;
  }

  /** Every node that has a disk to run on, or had one. */
  private wanted(): NodeFacts[] {
    const { layout, nodePorts } = this.options;
    const state = this.options.state();
    const book = addressBook(state, layout, nodePorts).map(({ nodeId: own, name, address }) => ({
      nodeId: own,
      name,
      address,
    }));
    const facts = (node: Omit<NodeFacts, "address" | "peers">): NodeFacts => {
      const own = present(
        book.find((one) => one.nodeId === node.nodeId),
        "who runs is in the address book",
      );
      return { ...node, address: own.address, peers: book.filter((one) => one !== own) };
    };
    return state.nodes.flatMap((place) => {
      const { id, nodeId: own, kind, next } = place;
      const dir = nodeDir(layout, id);
      if (!next) return [facts({ name: id, id, nodeId: own, kind, dir })];
      const leaving = { name: leavingName(id), id, nodeId: own, kind, dir: this.memberDir(place) };
      if (!next.isMade) return [facts(leaving)];
      return [facts({ name: id, id, nodeId: next.nodeId, kind, dir }), facts(leaving)];
    });
  }

  private asideDir({ id, nodeId: own }: NodeState): string {
    return `${replacedDir(this.options.layout)}/${id}-${own.slice(0, 8)}`;
  }

  /** Of a member that is being replaced: aside, once it was moved there. */
  private memberDir(place: NodeState): string {
    const aside = this.asideDir(place);
    const isAside = place.next?.isMade === true || existsSync(aside);
    return isAside ? aside : nodeDir(this.options.layout, place.id);
  }

  private add(facts: NodeFacts): ManagedProcess {
    const { config } = this.options;
    const process = this.options.process(facts.name, {
      // The peers as they are at each start.
      config: () => config(this.wanted().find((one) => one.nodeId === facts.nodeId) ?? facts),
      mayStart: async () => {
        node.disk = await this.judge(facts);
        return node.disk === "ok";
      },
    });
    const node: RunningNode = { facts, process, disk: undefined };
    this.running.set(facts.name, node);
    return process;
  }

  private async judge(facts: NodeFacts): Promise<DiskVerdict> {
    const before = this.running.get(facts.name)?.disk;
    try {
      const { volumeId: volume } = this.options.state();
      const whose = { volumeId: volumeId(volume), nodeId: nodeId(facts.nodeId) };
      const disk = await judgeFolder(facts.dir, whose);
      if (disk !== "ok" && disk !== before)
        this.options.logger.warn({ event: "disk.lost", name: facts.name, dir: facts.dir, disk });
      return disk;
    } catch (error) {
      // Who cannot look has seen no loss: the process tries, and says what is wrong.
      this.options.logger.warn({ event: "disk.unseen", name: facts.name }, messageOf(error));
      return "ok";
    }
  }

  /** One that does not hear it now is told at its start, or with the next change. */
  private tellPeers(process: ManagedProcess, { name, peers }: NodeFacts): void {
    process.ask("setPeers", { peers }, tellMs).catch((error: unknown) => {
      this.options.logger.debug({ event: "node.notTold", name }, messageOf(error));
    });
  }

  private async remove(name: string): Promise<void> {
    const node = this.running.get(name);
    this.running.delete(name);
    await node?.process.stop(stopMs);
  }

  /** What is in the member's place: the member itself, unless it is aside already; then it is a successor that failed. */
  private moveAside(place: NodeState): void {
    const dir = nodeDir(this.options.layout, place.id);
    const aside = this.asideDir(place);
    if (existsSync(aside) || !existsSync(dir)) {
      rmSync(dir, { recursive: true, force: true });
      rmSync(`${dir}.failed`, { force: true });
      return;
    }
    mkdirSync(replacedDir(this.options.layout), { recursive: true, mode: 0o700 });
    // At no moment is a failed disk without its marker.
    const marker = `${dir}.failed`;
    const isFailed = existsSync(marker);
    if (isFailed) writeFileSync(`${aside}.failed`, readFileSync(marker), { flush: true });
    renameSync(dir, aside);
    syncFolder(replacedDir(this.options.layout));
    if (isFailed) rmSync(marker);
  }

  /** Whoever is out is forgotten: no change of members needs its disk any more. */
  private wipeReplaced(): void {
    const { layout, logger } = this.options;
    const dir = replacedDir(layout);
    if (!existsSync(dir)) return;
    const places = this.options.state().nodes.filter((place) => place.next);
    const kept = new Set(places.map((place) => this.asideDir(place)));
    for (const name of readdirSync(dir)) {
      const path = `${dir}/${name.replace(/\.failed$/, "")}`;
      if (kept.has(path)) continue;
      rmSync(`${dir}/${name}`, { recursive: true, force: true });
      logger.info({ event: "disk.wiped", name });
    }
  }
}
