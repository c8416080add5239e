import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import { nodeId, volumeId } from "../base/ids.ts";
import { parseLsn } from "../base/lsn.ts";
import { realDisk } from "../io/index.ts";
import {
  encodeVolumeRecord,
  type Healing,
  type LeftFuture,
  type LeftPath,
  type LogPath,
  newestEpoch,
  type ObjectStore,
  parseVolumeRecord,
  readVolumeRecord,
  type VolumeRecord,
  volumeObject,
  volumeRecordFormat,
  writeVolumeRecord,
} from "../volume/index.ts";
import type { KeeperContext } from "./keeper-shell.ts";
import type { World } from "./messages.ts";

/** Keeps volume.json true: written anew when something of it changes. */
export class RecordKeeping {
  private readonly context: KeeperContext;
  private written: VolumeRecord | undefined;
  private isRead = false;
  private isNone = false;
  left: readonly LeftPath[] = [];

  constructor(context: KeeperContext) {
    this.context = context;
  }

  /**
   * The path that the volume was on: the one that is known, else what the record of a former life says. Raises what the
   * store raises.
   */
  async pathBefore(store: ObjectStore, known: LogPath): Promise<LogPath> {
    await this.read(store);
    return known.length > 0 ? known : (this.written?.history ?? []);
  }

  /** Whether the store has no record of this volume, not even a damaged one: nothing was archived there. */
  async isFirst(store: ObjectStore): Promise<boolean> {
    await this.read(store);
    return this.isNone;
  }

  addLeft(path: LeftPath): void {
    this.left = [...this.left, path];
  }

  /** Writes the record unless it says the same already. Raises what the store raises, and 55000 if it is of later times. */
  async write(store: ObjectStore, path: LogPath): Promise<void> {
    await this.read(store);
    const { written } = this;
    const record = await this.recordOf(path);
    if (written && isSame(written, record)) return;
    this.requireNotLater(store, path);
    await this.put(store, record);
  }

  /**
   * Puts it again if it cannot be read any more, or is not there any more. Raises 55000 as write does, 0A000 if a newer version
   * has written it, and what the store raises.
   */
  async heal(store: ObjectStore, path: LogPath): Promise<Healing> {
    try {
      if (await readVolumeRecord(store)) return "good";
      if (!this.written) return "gone";
    } catch (error) {
      if (!(error instanceof BorealisError) || !(await this.isRot(store, error))) throw error;
    }
    this.requireNotLater(store, path);
    await this.put(store, await this.recordOf(path));
    return "healed";
  }

  /** A flipped bit may make another version of it. */
  private async isRot(store: ObjectStore, { code }: BorealisError): Promise<boolean> {
    if (code !== sqlState.notSupported || !this.written) return code === sqlState.dataCorrupted;
    const text = (await store.get(volumeObject))?.toString("utf8") ?? "";
    const asOurs = text.replace(/"format": \d+/, `"format": ${volumeRecordFormat}`);
    return asOurs === encodeVolumeRecord(this.written).toString("utf8");
  }

  private requireNotLater(store: ObjectStore, path: LogPath): void {
    const { written } = this;
    if (written && newestEpoch(written.history) > newestEpoch(path)) {
      const epochs = `epoch ${newestEpoch(written.history)}, and this cluster ${newestEpoch(path)}`;
      throw new BorealisError(
        sqlState.notInPrerequisiteState,
        `${store.label} is the archive of a later state of this volume: it has met ${epochs}`,
        {
          hint: "storage nodes that come back may know more; if not, another copy of the data directory has written to it: give this one a store of its own",
        },
      );
    }
  }

  private async put(store: ObjectStore, record: VolumeRecord): Promise<void> {
    await writeVolumeRecord(store, record);
    this.isNone = false;
    this.written = record;
    const { logger } = this.context;
    logger.info({ event: "volumeRecord.written", epoch: newestEpoch(record.history) });
  }

  private async read(store: ObjectStore): Promise<void> {
    if (this.isRead) return;
    try {
      this.written = await readVolumeRecord(store);
      this.isNone = !this.written;
      this.left = this.written?.left ?? [];
    } catch (error) {
      const isDamaged = error instanceof BorealisError && error.code === sqlState.dataCorrupted;
      if (!isDamaged) throw error;
      this.context.logger.warn(
        { event: "volumeRecord.damaged", object: volumeObject },
        messageOf(error),
      );
    }
    this.isRead = true;
  }

  private async recordOf(history: LogPath): Promise<VolumeRecord> {
    const { config, world, clock } = this.context;
    const { nodes, instances, left } = world();
    const { keyRingFile, volume, addressVolumeId: named } = config;
    // Each time: the master key is rotated without a word to this process.
    const keyRing = keyRingFile === null ? undefined : await realDisk.readWhole(keyRingFile);
    return {
      ...volume,
      volumeId: volumeId(config.volumeId),
      ...(named !== config.volumeId && { ancestorVolumeId: volumeId(named) }),
      postgresMajor: config.postgresMajor,
      systemIdentifier: config.systemIdentifier,
      genesisLsn: parseLsn(config.genesisLsn),
      keyRing: keyRing?.toString("utf8"),
      members: nodes
        .filter(({ isMember }) => isMember)
        .map(({ name, nodeId: id, az, kind }) => ({ name, nodeId: nodeId(id), az, kind })),
      instances: instances.length,
      history,
      left: this.left,
      futures: left.map(futureOf),
      writtenAt: new Date(clock.wallMs()).toISOString(),
    };
  }
}

function futureOf({ fork, end, leftAtMs, ...facts }: World["left"][number]): LeftFuture {
  const { firstUs, returned, untilMs, merged, isParents } = facts;
  return {
    fork: parseLsn(fork),
    end: parseLsn(end),
    leftAtMs,
    firstUs: firstUs === null ? undefined : BigInt(firstUs),
    returned: returned
      ? {
          ...returned,
          to: parseLsn(returned.to),
          nextUs: returned.nextUs === null ? undefined : BigInt(returned.nextUs),
        }
      : undefined,
    untilMs: untilMs ?? undefined,
    ...(merged !== null && { merged }),
    ...(isParents && { isParents }),
  };
}

/** But for the time at which they were written. */
function isSame(a: VolumeRecord, b: VolumeRecord): boolean {
  // Through the parser, for fields in the same order.
  const [one, other] = [a, b].map((record) =>
    encodeVolumeRecord(parseVolumeRecord(encodeVolumeRecord({ ...record, writtenAt: "" }))),
  );
  return one !== undefined && other?.equals(one) === true;
}
