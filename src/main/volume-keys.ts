import { existsSync, readdirSync, readFileSync } from "node:fs";
import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import { type VolumeId, volumeId } from "../base/ids.ts";
import { type Logger, realEntropy, realSecretFiles } from "../io/index.ts";
import type { ClusterState, KeyReport, Layout } from "../cluster/index.ts";
import {
  createKeyRing,
  type DataKeys,
  encodeKeyRing,
  inheritKeyRing,
  KeyFileProvider,
  type KeyProvider,
  type KeyRing,
  newestRing,
  openKeyRing,
  rotateDataKey,
  rotateMasterKey,
} from "../keys/index.ts";

function nowText(): string {
  return new Date().toISOString();
}

/** Settings will name others (KMS); the file is the default. */
function keyFileProvider({ keyFile }: Pick<Layout, "keyFile">): KeyFileProvider {
  return new KeyFileProvider(keyFile, {
    files: realSecretFiles,
    entropy: realEntropy,
    now: nowText,
  });
}

/** The keys of a new volume: a key file if there is none, and the first ring, written to `control/`. */
export async function createVolumeKeys(layout: Layout, volume: VolumeId): Promise<void> {
  const provider = keyFileProvider(layout);
  await provider.create();
  const ring = await createKeyRing(provider, { volumeId: volume, createdAt: nowText() });
  realSecretFiles.replace(layout.keyRingFile, encodeKeyRing(ring));
}

/** The data keys of a ring that came from elsewhere. Raises 55000 when the key file is not here, or not the volume's. */
export async function openRing(
  text: string,
  { volume, keyFile }: { readonly volume: VolumeId; readonly keyFile: string },
): Promise<DataKeys> {
  const ring = newestRing([text], volume);
  if (ring) return openKeyRing(keyFileProvider({ keyFile }), ring);
  throw new BorealisError(sqlState.dataCorrupted, `the key ring of volume ${volume} is damaged`, {
    hint: "another copy may be good: control/keyring.json, storage/NODE/keyring.json",
  });
}

/**
 * The keys of a clone: its parent's data keys, wrapped for its own volume, and the master keys that wrap them. Nothing if the
 * parent is not encrypted. Raises 55000 when the parent's keys are not here.
 */
export async function inheritVolumeKeys(
  parent: { readonly layout: Layout; readonly state: ClusterState },
  clone: { readonly layout: Layout; readonly volumeId: VolumeId },
): Promise<void> {
  const ring = requireRing(parent.layout, parent.state);
  if (ring === undefined) return;
  const masters = realSecretFiles.read(parent.layout.keyFile);
  if (masters !== undefined) realSecretFiles.replace(clone.layout.keyFile, masters);
  const inherited = await inheritKeyRing(keyFileProvider(clone.layout), ring, clone.volumeId);
  realSecretFiles.replace(clone.layout.keyRingFile, encodeKeyRing(inherited));
}

/** The volume's data keys for a job of the command line. Undefined: it is not encrypted. Raises 55000 as above. */
export async function openVolumeKeys(
  layout: Layout,
  state: ClusterState,
): Promise<DataKeys | undefined> {
  const ring = requireRing(layout, state);
  return ring && openKeyRing(keyFileProvider(layout), ring);
}

/** The newest copy of the volume's ring, as text. Undefined: it is not encrypted. Raises 55000 if it is, and no copy is left. */
export function volumeRing(layout: Layout, state: ClusterState): string | undefined {
  const ring = requireRing(layout, state);
  return ring && encodeKeyRing(ring);
}

/** Undefined: the volume is not encrypted. Raises 55000 if it is, and no copy is left. */
function requireRing(layout: Layout, state: ClusterState): KeyRing | undefined {
  const ring = newestRing(copiesOf(layout), volumeId(state.volumeId));
  if (ring !== undefined || state.encryption === "off") return ring;
  throw noRing(layout);
}

/**
 * The volume's data keys as this host's supervisor holds them: the ring with its copies on the disk, unwrapped for the
 * storage nodes. They are given to node processes only, through pipes.
 */
export class VolumeKeys {
  private readonly layout: Layout;
  private readonly logger: Logger;
  private readonly provider: KeyProvider;
  private ring: KeyRing;
  private opened: DataKeys;
  private changing: Promise<void> = Promise.resolve();

  /**
   * Undefined: the volume is not encrypted. Raises 55000 when its keys are not here: the error says which file is missing,
   * or is not the volume's.
   */
  static async open(
    layout: Layout,
    state: ClusterState,
    logger: Logger,
  ): Promise<VolumeKeys | undefined> {
    const ring = requireRing(layout, state);
    if (ring === undefined) return undefined;
    const provider = keyFileProvider(layout);
    const opened = await openKeyRing(provider, ring);
    const keys = new VolumeKeys({ layout, logger, provider }, ring, opened);
    keys.writeCopies();
    return keys;
  }

  private constructor(
    parts: { readonly layout: Layout; readonly logger: Logger; readonly provider: KeyProvider },
    ring: KeyRing,
    opened: DataKeys,
  ) {
    this.layout = parts.layout;
    this.logger = parts.logger;
    this.provider = parts.provider;
    this.ring = ring;
    this.opened = opened;
  }

  get dataKeys(): DataKeys {
    return this.opened;
  }

  /** What people may know of it: no key, wrapped or not. */
  report(): KeyReport {
    const { current, keys } = this.ring;
    return {
      provider: this.provider.name,
      current,
      keys: keys.map(({ id, createdAt }) => ({ id, createdAt, isCurrent: id === current })),
    };
  }

  /** A new data key for what is written from now on. On the disk, in every copy, when this resolves. */
  rotate(): Promise<void> {
    return this.change((ring) => rotateDataKey(this.provider, ring, nowText()));
  }

  /** A new master key, which wraps every data key from now on. */
  rotateMaster(): Promise<void> {
    return this.change((ring) => rotateMasterKey(this.provider, ring));
  }

  /** One after the other: each change begins from the ring that the last one left. */
  private async change(making: (ring: KeyRing) => Promise<KeyRing>): Promise<void> {
    const before = this.changing;
    let done = (): void => undefined;
    this.changing = new Promise<void>((resolve) => {
      done = resolve;
    });
    await before;
    try {
      await this.adopt(await making(this.ring));
    } finally {
      done();
    }
  }

  private async adopt(ring: KeyRing): Promise<void> {
    const opened = await openKeyRing(this.provider, ring);
    // Before any frame needs it: a key that only memory holds would take the log with it.
    realSecretFiles.replace(this.layout.keyRingFile, encodeKeyRing(ring));
    this.ring = ring;
    this.opened = opened;
    this.writeCopies();
    this.logger.info({ event: "keys.rotated", current: ring.current, version: ring.version });
  }

  /** Beside every log that is there, so that the ring lives as long as any of them; and in `control/`. */
  writeCopies(): void {
    const text = encodeKeyRing(this.ring);
    for (const file of copyFiles(this.layout)) {
      try {
        if (!existsSync(file) || readFileSync(file, "utf8") !== text)
          realSecretFiles.replace(file, text);
      } catch (error) {
        // A node's disk may be full or gone; the next start of that node tries again.
        this.logger.warn({ event: "keys.copy_failed", file }, messageOf(error));
      }
    }
  }
}

function noRing(layout: Layout): BorealisError {
  return new BorealisError(
    sqlState.notInPrerequisiteState,
    `the volume is encrypted, and no copy of its key ring is left (${layout.keyRingFile})`,
    { hint: "put control/keyring.json back from a backup; storage/NODE/keyring.json are copies" },
  );
}

function copyFiles(layout: Layout): string[] {
  const { storageDir } = layout;
  const names = existsSync(storageDir) ? readdirSync(storageDir) : [];
  // A folder that a node was never formatted in, or lost, must not come back to life by this.
  const nodes = names.filter((name) => existsSync(`${storageDir}/${name}/state`));
  return [layout.keyRingFile, ...nodes.map((name) => `${storageDir}/${name}/keyring.json`)];
}

function copiesOf(layout: Layout): string[] {
  return copyFiles(layout).flatMap((file) => {
    try {
      return [readFileSync(file, "utf8")];
    } catch {
      return []; // any other copy will do
    }
  });
}
