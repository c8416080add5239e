import { adviceOf, messageOf } from "../base/errors.ts";
import { volumeId } from "../base/ids.ts";
import { parseLsn } from "../base/lsn.ts";
import { parsePath } from "../instance/index.ts";
import {
  type Clock,
  type Logger,
  realDisk,
  type RpcServer,
  Scope,
  serveRpc,
  sleep,
} from "../io/index.ts";
import { type DataKeys, parseDataKeys } from "../keys/index.ts";
import {
  type Compression,
  ExtentSealer,
  type ObjectStore,
  openObjectStore,
  type Relative,
} from "../volume/index.ts";
import { ArchiveScrubs } from "./archive-scrubs-shell.ts";
import { Archiver } from "./archiver-shell.ts";
import { LossBook } from "./loss-book-shell.ts";
import {
  type KeeperConfig,
  type KeeperReport,
  snapshotCreateSchema,
  snapshotDeleteSchema,
  snapshotReachSchema,
  type World,
  worldSchema,
} from "./messages.ts";
import { NodeStores } from "./node-stores-shell.ts";
import { ObjectScrubs } from "./object-scrubs-shell.ts";
import { SnapshotJobs } from "./snapshot-jobs-shell.ts";
import { ToldObjects } from "./told-objects-shell.ts";

export interface KeeperDeps {
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What every job of the keeper works with; asked anew each time, since all of it changes. */
export interface KeeperContext extends KeeperDeps {
  readonly config: KeeperConfig;
  world(): World;
  /** Names and seals with the newest data key; `compression`: other than on all cores. */
  sealer(compression?: Compression): ExtentSealer;
  /** Undefined: it could not be opened yet. */
  objects(): ObjectStore | undefined;
  /** Where relatives of the volume may have objects in the same store; none as long as that is not open. */
  relatives(): readonly Relative[];
  /** Full members, nearest first; the same list as long as they are the same. */
  nodeStores(): readonly ObjectStore[];
  /** Whether it may lack a snapshot which another has. */
  isBehind(store: ObjectStore): boolean;
  /** A damaged or missing object of its was made good. */
  noteHealed(store: ObjectStore, name: string, reason: string): void;
}

const openAgainMs = 2_000;
const nothingLeft = { unreadable: [], futures: [], left: [] };
/** Less than the supervisor waits for a process that it stops. */
const finishMs = 2_000;

/**
 * Does what the volume needs done beside the data path: it is told by the control plane how the cluster is, and tells how
 * it is itself. What it has done lies in the stores; so it may be killed at any moment, and that costs time only.
 */
export class Keeper {
  private readonly config: KeeperConfig;
  private readonly deps: KeeperDeps;
  private readonly scope: Scope;
  private server: RpcServer | undefined;
  private world: World = { nodes: [], instances: [], durable: null, ...nothingLeft };
  private objects: ObjectStore | undefined;
  private relatives: readonly Relative[] = [];
  private problem: string | undefined;
  private lastReport = "";
  private keys: DataKeys | undefined;
  private sealer: ExtentSealer;
  private readonly losses: LossBook;
  private readonly snapshots: SnapshotJobs;
  private readonly archiver: Archiver;
  private readonly scrubs: ObjectScrubs;
  private readonly told: ToldObjects;
  private readonly nodeStores: NodeStores;
  /** Of objects that were made good, by the name of the node; null: in the object store. */
  private readonly healed = new Map<string | null, number>();
  readonly context: KeeperContext;

  constructor(config: KeeperConfig, deps: KeeperDeps) {
    this.config = config;
    this.deps = deps;
    this.keys = config.dataKeys === null ? undefined : parseDataKeys(config.dataKeys);
    this.sealer = this.sealerWith(this.keys);
    const { az, credential } = config;
    const owner = { volumeId: volumeId(config.volumeId), sender: "keeper" };
    this.nodeStores = new NodeStores({
      az,
      owner: { ...owner, ...(credential ? { credential } : {}) },
      clock: deps.clock,
    });
    this.context = {
      ...deps,
      config,
      world: () => this.world,
      sealer: (compression) =>
        compression ? this.sealerWith(this.keys, compression) : this.sealer,
      objects: () => this.objects,
      relatives: () => this.relatives,
      nodeStores: () => this.nodeStores.all,
      isBehind: (store) => this.snapshots.isBehind(store),
      noteHealed: (store, name, reason) => this.noteHealed(store, name, reason),
    };
    const { logger } = deps;
    this.losses = new LossBook({ file: config.lossesFile, disk: realDisk, logger });
    this.snapshots = new SnapshotJobs(this.context, this.losses, () => this.tell());
    this.archiver = new Archiver({
      context: this.context,
      snapshots: () => this.snapshots.report(),
      base: this.snapshots.base,
      onChange: () => this.tell(),
    });
    const onChange = (): void => this.tell();
    const { context, archiver } = this;
    this.scrubs = new ObjectScrubs({
      context,
      archive: new ArchiveScrubs({ context, archiver, onChange }),
      snapshots: this.snapshots,
      losses: this.losses,
      nodeIdOf: (store) => this.nodeStores.all.find((one) => one === store)?.nodeId,
      onChange,
    });
    this.told = new ToldObjects({ context, scrubs: this.scrubs });
    this.scope = new Scope((error) => {
      deps.logger.error({ event: "keeper.taskFailed" }, messageOf(error));
    });
  }

  async start(): Promise<void> {
    await this.losses.open();
    this.server = await serveRpc(
      { kind: "unix", path: this.config.socket },
      {
        report: () => this.report(),
        setWorld: (params) => {
          this.world = worldSchema.parse(params);
          this.archiver.noteWorld();
          this.nodeStores.follow(this.world.nodes);
          // Nobody says when a store begins to be asked in vain, or is well again.
          this.tell();
        },
        snapshotList: () => this.snapshots.list(),
        snapshotReach: (params) => {
          const { path, base } = snapshotReachSchema.parse(params);
          return this.snapshots.reach({ path: parsePath(path), base: parseLsn(base) });
        },
        snapshotCreate: (params) => {
          const { id, kind } = snapshotCreateSchema.parse(params);
          const { snapshots } = this;
          return kind === "manual"
            ? snapshots.create(id ?? undefined)
            : snapshots.createAutomatic();
        },
        snapshotDelete: (params) => this.snapshots.delete(snapshotDeleteSchema.parse(params).id),
        scrub: (params) => this.scrubs.now(params),
        scrubReach: () => this.scrubs.reach(),
      },
    );
    this.scope.run((signal) => this.openStore(signal));
    this.scope.run((signal) => this.snapshots.run(signal));
    this.scope.run((signal) => this.archiver.run(signal));
    this.scope.run((signal) => this.scrubs.forEver(signal));
    this.scope.run((signal) => this.told.run(signal));
  }

  /** A data key was rotated: what is written from now on is encrypted with the new one. */
  takeKeys(keys: DataKeys): void {
    this.keys = keys;
    this.sealer = this.sealerWith(keys);
  }

  async close(): Promise<void> {
    this.scrubs.close();
    await this.scope.close("the keeper stops");
    await this.archiver.finish(finishMs);
    await this.losses.settled();
    for (const { store } of this.relatives) await store.close();
    await this.objects?.close();
    await this.nodeStores.close();
    await this.server?.close();
  }

  private sealerWith(keys: DataKeys | undefined, compression?: Compression): ExtentSealer {
    const facts = { volumeId: volumeId(this.config.addressVolumeId), keys };
    return new ExtentSealer(compression ? { ...facts, compression } : facts);
  }

  private noteHealed(store: ObjectStore, name: string, reason: string): void {
    this.deps.logger.warn({ event: "object.healed", store: store.label, name }, reason);
    const node = store === this.objects ? null : store.label;
    this.healed.set(node, (this.healed.get(node) ?? 0) + 1);
  }

  private report(): KeeperReport {
    const { objects, problem, config, snapshots, nodeStores } = this;
    const found = this.archiver.report();
    const why = found.problem ?? problem ?? objects?.trouble;
    const archive = { ...found, problem: why ?? (found.hasBase ? null : this.bare()) };
    const { damage } = this.scrubs;
    // Once is enough for people; without an archive nothing but snapshots meets the object store.
    const isTold = archive.isOn && archive.problem !== null;
    const away = problem ?? objects?.trouble ?? (objects && snapshots.troubleWith(objects));
    return {
      ...snapshots.report(),
      archive,
      damage,
      healed: [...this.healed].map(([node, count]) => ({ node, count })),
      nodesComplete: nodeStores.idsOf((store) => !snapshots.isBehind(store)),
      objectStore: objects?.label ?? config.objectStoreUrl,
      problem: snapshots.trouble ?? (isTold ? undefined : away) ?? null,
    };
  }

  /** For people: what it means that the object store lacks a snapshot. */
  private bare(): string {
    const why = this.objects && this.snapshots.troubleWith(this.objects);
    const next = why === undefined ? "it is given one by and by" : why;
    return `the object store has no automatic snapshot, so from it alone only users' snapshots can be restored: ${next}`;
  }

  private tell(): void {
    const report = this.report();
    const text = JSON.stringify(report);
    if (text === this.lastReport) return;
    this.lastReport = text;
    this.server?.broadcast("report", report);
  }

  /** A store that cannot be reached now may be there in a moment: the cluster does not wait for it. */
  private async openStore(signal: AbortSignal): Promise<void> {
    const { config, deps } = this;
    while (!signal.aborted && !this.objects) {
      try {
        const open = (volume: string): Promise<ObjectStore> =>
          openObjectStore(config.objectStoreUrl, volumeId(volume), config.objectStoreEnv);
        const relatives: Relative[] = [];
        for (const one of config.relatives)
          relatives.push({
            volumeId: one.volumeId,
            store: await open(one.volumeId),
            putBeforeMs: one.putBeforeMs ?? undefined,
          });
        this.objects = await open(config.volumeId);
        this.relatives = relatives;
        this.problem = undefined;
        deps.logger.info({ event: "objects.opened", store: this.objects.label });
      } catch (error) {
        if (this.problem !== adviceOf(error))
          deps.logger.warn({ event: "objects.notOpened" }, adviceOf(error));
        this.problem = adviceOf(error);
        await sleep(deps.clock, openAgainMs, signal);
      }
      this.tell();
    }
  }
}
