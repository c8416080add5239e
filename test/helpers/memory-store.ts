import type { BorealisError } from "../../src/base/errors.ts";
import type { ObjectFacts, ObjectStore, Relative } from "../../src/volume/index.ts";

/** An object store of this process, which fails while it is told to. */
export class MemoryStore implements ObjectStore {
  readonly label: string;
  readonly kept = new Map<string, Buffer>();
  /** The names that were put, in order. */
  readonly events: string[] = [];
  /** Puts that were asked for, also those that failed. */
  puts = 0;
  /** Names that were taken from another store of this process, in order. */
  readonly taken: string[] = [];
  failure: BorealisError | undefined;
  constructor(label: string) {
    this.label = label;
  }
  async put(name: string, bytes: Uint8Array): Promise<void> {
    this.puts++;
    if (this.failure) throw this.failure;
    this.events.push(name);
    this.kept.set(name, Buffer.from(bytes));
  }
  async get(name: string): Promise<Buffer | undefined> {
    if (this.failure) throw this.failure;
    return this.kept.get(name);
  }
  async has(names: readonly string[]): Promise<ReadonlySet<string>> {
    if (this.failure) throw this.failure;
    return new Set(names.filter((name) => this.kept.has(name)));
  }
  async copyFrom(
    { store: from }: Relative,
    names: readonly string[],
  ): Promise<ReadonlySet<string>> {
    if (this.failure) throw this.failure;
    const found = from instanceof MemoryStore ? names.filter((name) => from.kept.has(name)) : [];
    for (const name of found) this.kept.set(name, (from as MemoryStore).kept.get(name) as Buffer);
    this.taken.push(...found);
    return new Set(found);
  }
  async *list(prefix: string): AsyncIterable<ObjectFacts> {
    if (this.failure) throw this.failure;
    for (const [name, { length }] of [...this.kept].toSorted(([a], [b]) => (a < b ? -1 : 1)))
      if (name.startsWith(prefix)) yield { name, sizeBytes: length, putAtMs: 0, isShared: false };
  }
  async delete(names: readonly string[]): Promise<void> {
    if (this.failure) throw this.failure;
    for (const name of names) this.kept.delete(name);
  }
  async close(): Promise<void> {}
}
