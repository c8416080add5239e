import type { CutExtent } from "./extent-packer.ts";
import type { ExtentSealer } from "./extent-sealer-shell.ts";
import type { ExtentSize } from "./manifest.ts";
import { extentObject } from "./object-names.ts";
import type { ObjectStore } from "./object-store-shell.ts";

export interface UploadOptions {
  readonly sealer: ExtentSealer;
  readonly store: Pick<ObjectStore, "put">;
  /** Extents on their way at a time; 4 unless told. */
  readonly parallel?: number;
}

/** Seals and puts extents, some at a time. The first failure is final: it is raised by every call after it. */
export class ExtentUpload {
  /** What was put, by id. */
  readonly sizes = new Map<string, ExtentSize>();
  private readonly options: UploadOptions;
  private readonly parallel: number;
  private readonly underWay = new Set<Promise<void>>();
  private failure: { readonly error: unknown } | undefined;
  private bytes = 0;

  constructor(options: UploadOptions) {
    this.options = options;
    this.parallel = options.parallel ?? 4;
  }

  get storedBytes(): number {
    return this.bytes;
  }

  /** Resolves when there is room for more. */
  async add(extents: readonly CutExtent[]): Promise<void> {
    for (const extent of extents) {
      while (this.underWay.size >= this.parallel) await Promise.race(this.underWay);
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

  private async put({ id, plain }: CutExtent): Promise<void> {
    const { sealer, store } = this.options;
    try {
      const sealed = await sealer.sealExtent(id, plain);
      await store.put(extentObject(id), sealed);
      this.sizes.set(id, { plainBytes: plain.length, storedBytes: sealed.length });
      this.bytes += sealed.length;
    } catch (error) {
      this.failure ??= { error };
    }
  }

  private requireGood(): void {
    if (this.failure) throw this.failure.error;
  }
}
