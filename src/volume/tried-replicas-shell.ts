import { BorealisError, sqlState } from "../base/errors.ts";
import { backupManifestName, type SnapshotManifest } from "./manifest.ts";
import { extentObject } from "./object-names.ts";
import type { Replicas } from "./replicas-shell.ts";

/**
 * Replicas for whoever tries one snapshot after the other: the same moment is reached from an older one, with more log behind
 * it. What was to be had from no store is remembered, since snapshots share most of their extents.
 */
export class TriedReplicas implements Pick<Replicas, "get"> {
  private readonly replicas: Pick<Replicas, "get">;
  /** With the object that was not to be had. */
  private readonly failures = new WeakMap<BorealisError, string>();
  private readonly lost = new Set<string>();

  constructor(replicas: Pick<Replicas, "get">) {
    this.replicas = replicas;
  }

  /** As Replicas.get. */
  async get<T>(name: string, open: (bytes: Buffer) => Promise<T>): Promise<T> {
    try {
      return await this.replicas.get(name, open);
    } catch (error) {
      if (isLoss(error)) {
        this.failures.set(error, name);
        this.lost.add(name);
      }
      throw error;
    }
  }

  /**
   * Whether it was the snapshot that failed, so that an older one may do: it is damaged, or something of it is in no store that
   * answers. Not a disk of ours, on which the next one would fail as well.
   */
  isOfSnapshot(error: unknown): error is BorealisError {
    if (!(error instanceof BorealisError)) return false;
    return error.code === sqlState.dataCorrupted || this.failures.has(error);
  }

  /** The object that had no good copy, if all stores have answered: it is lost. Undefined: nothing is known to be. */
  lostBy(error: BorealisError): string | undefined {
    return error.code === sqlState.dataCorrupted ? this.failures.get(error) : undefined;
  }

  /** Whether files of this snapshot need what was to be had from no store. */
  lacks({ files }: Pick<SnapshotManifest, "files">): boolean {
    if (this.lost.size === 0) return false;
    return files.some(
      ({ name, pieces }) =>
        name !== backupManifestName &&
        pieces.some(({ extent }) => extent !== undefined && this.lost.has(extentObject(extent))),
    );
  }
}

/** What Replicas raise when there is no good copy, or none in the stores that answer. */
function isLoss(error: unknown): error is BorealisError {
  if (!(error instanceof BorealisError)) return false;
  return error.code === sqlState.dataCorrupted || error.code === sqlState.ioError;
}
