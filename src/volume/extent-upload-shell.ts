import type { CutExtent } from "./extent-packer.ts";
import type { ExtentSealer } from "./extent-sealer-shell.ts";
import type { ExtentSize } from "./manifest.ts";
import { extentObject } from "./object-names.ts";
import type { ObjectStore } from "./object-store-shell.ts";

export interface UploadOptions {
  readonly sealer: ExtentSealer;
  readonly store: Pick<ObjectStore, "put">;
  /** Extents on their way at a time; 64 unless told. */
  readonly parallel?: number;
}

/**
 * Bytes on their way at a time: plain ones until they are sealed, then what is left of them. Many small puts at once share
 * the commits of a file system's journal, which is what a put waits for.
 */
const underWayBytesMax = 16 * 1024 * 1024;

/** Seals and puts extents, some at a time. The first failure is final: it is raised by every call after it. */
export class ExtentUpload {
  /** What was put, by id. */
  readonly sizes = new Map<string, ExtentSize>();
  private readonly options: UploadOptions;
  private readonly parallel: number;
  private readonly underWay = new Set<Promise<void>>();
  private failure: { readonly error: unknown } | undefined;
  private bytes = 0;
  private underWayBytes = 0;

  constructor(options: UploadOptions) {
    this.options = options;
    this.parallel = options.parallel ?? 64;
  }

  get storedBytes(): number {
    return this.bytes;
  }

  /** Resolves when there is room for more. */
  async add(extents: readonly CutExtent[]): Promise<void> {
    for (const extent of extents) {
      while (this.isBusy) await Promise.race(this.underWay);
      this.requireGood();
      const put = this.put(extent).finally(() => this.underWay.delete(put));
      this.underWay.add(put);
    }
    this.requireGood();
  }

  /** All of them are put, or what failed is raised. */
  async finish(): Promise<void> {
    while (this.underWay.size > 0) await Promise.all(this.underWay);
    this.requireGood();
  }

  private get isBusy(): boolean {
    const { underWay, underWayBytes, parallel } = this;
    return underWay.size >= parallel || (underWay.size > 0 && underWayBytes > underWayBytesMax);
  }

  private async put(extent: CutExtent): Promise<void> {
    const { id } = extent;
    const plainBytes = extent.plain.length;
    let ownBytes = plainBytes;
    this.underWayBytes += ownBytes;
    try {
      const sealed = await this.options.sealer.sealExtent(id, extent.plain);
      this.underWayBytes += sealed.length - ownBytes;
      ownBytes = sealed.length;
      await this.options.store.put(extentObject(id), sealed);
      this.sizes.set(id, { plainBytes, storedBytes: ownBytes });
      this.bytes += ownBytes;
    } catch (error) {
      this.failure ??= { error };
    } finally {
      this.underWayBytes -= ownBytes;
    }
  }

  private requireGood(): void {
    if (this.failure) throw this.failure.error;
  }
}
