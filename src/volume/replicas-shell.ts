import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import type { ObjectStore } from "./object-store-shell.ts";

export interface ReplicaEvents {
  /** A store takes no more puts from here on: what it missed has to be made up for (publishSnapshot). */
  onLost?(store: ObjectStore, error: BorealisError): void;
  /** What a store had was damaged or missing, and is good again; or could not be made good. */
  onHealed?(store: ObjectStore, name: string, reason: string): void;
  onNotHealed?(store: ObjectStore, name: string, error: unknown): void;
}

export interface ReplicaOptions extends ReplicaEvents {
  /** Nearest first: reads ask them in this order. */
  readonly stores: readonly ObjectStore[];
  /** Whether these are enough for what is put to be safe (Q3: all full members, or one and the object store). */
  readonly isSafe: (stores: readonly ObjectStore[]) => boolean;
}

/** The same objects in several stores. A store that fails a put once is left out from then on. */
export class Replicas {
  private readonly options: ReplicaOptions;
  private readonly lost = new Map<ObjectStore, BorealisError>();

  constructor(options: ReplicaOptions) {
    this.options = options;
  }

  /** Those that have taken everything that was put here. */
  get stores(): readonly ObjectStore[] {
    return this.options.stores.filter((store) => !this.lost.has(store));
  }

  /** Resolves when all have answered, and those that hold it are enough. Raises what stood in the way otherwise. */
  async put(name: string, bytes: Uint8Array): Promise<void> {
    const { stores } = this;
    this.requireSafe(stores);
    await Promise.all(
      stores.map(async (store) => {
        try {
          await store.put(name, bytes);
        } catch (error) {
          if (!(error instanceof BorealisError)) throw error;
          this.lose(store, error);
        }
      }),
    );
    this.requireSafe(this.stores);
  }

  /**
   * What `open` makes of the first copy that it accepts; it refuses one by raising XX001, and passes over one, as if it were
   * not there and never to be healed, by giving undefined. Copies found missing or damaged on
   * the way are replaced by the good one; `heals`: only damaged ones, or none. Undefined: every store says that it has
   * none. Raises why there is no good one: XX001, or what a store raised.
   */
  async find<T>(
    name: string,
    open: (bytes: Buffer) => Promise<T | undefined>,
    { heals = "all" }: { readonly heals?: "all" | "damaged" | "none" } = {},
  ): Promise<T | undefined> {
    const bad = new Map<ObjectStore, BorealisError>();
    let absent = 0;
    for (const store of this.options.stores) {
      try {
        const bytes = await store.get(name);
        if (bytes) {
          const opened = await open(bytes);
          if (opened !== undefined) {
            if (heals !== "none") await this.heal(name, bytes, bad);
            return opened;
          }
        }
        absent++;
        if (heals === "all" && !bytes) bad.set(store, missing(store.label, name));
      } catch (error) {
        if (!mayLieElsewhere(error)) throw error;
        bad.set(store, error);
      }
    }
    if (absent === this.options.stores.length) return undefined;
    const reasons = [...bad.values()];
    const outage = reasons.find(({ code }) => code !== sqlState.dataCorrupted);
    if (outage) throw outage;
    throw noGoodCopy(reasons[0] ?? missing("no store", name), this.options.stores);
  }

  /** As `find`, of what has to be there: raises XX001 if no store has it. */
  async get<T>(name: string, open: (bytes: Buffer) => Promise<T>): Promise<T> {
    const found = await this.find(name, async (bytes) => ({ value: await open(bytes) }));
    if (!found) throw missing(this.options.stores.map(({ label }) => label).join(", "), name);
    return found.value;
  }

  private async heal(
    name: string,
    bytes: Buffer,
    bad: ReadonlyMap<ObjectStore, BorealisError>,
  ): Promise<void> {
    for (const [store, reason] of bad) {
      // One that does not answer is not healed by asking it for more.
      if (reason.code !== sqlState.dataCorrupted) continue;
      try {
        await store.put(name, bytes);
        this.options.onHealed?.(store, name, reason.message);
      } catch (error) {
        this.options.onNotHealed?.(store, name, error);
      }
    }
  }

  private lose(store: ObjectStore, error: BorealisError): void {
    if (this.lost.has(store)) return;
    this.lost.set(store, error);
    this.options.onLost?.(store, error);
  }

  private requireSafe(stores: readonly ObjectStore[]): void {
    if (this.options.isSafe(stores)) return;
    const [first] = this.lost.values();
    const labels = stores.map((store) => store.label).join(", ");
    const why = first ? `: ${messageOf(first)}` : "";
    throw new BorealisError(
      first?.code ?? sqlState.ioError,
      `too few stores can take what has to be kept (${labels === "" ? "none" : labels})${why}`,
      { hint: first?.hint ?? "see which storage nodes are down: borealis status", cause: first },
    );
  }
}

/** One store alone, for what wants replicas. */
export function onlyStore(store: ObjectStore): Replicas {
  return new Replicas({ stores: [store], isSafe: (stores) => stores.length === 1 });
}

/** What is wrong with the first copy tells enough; its hint hopes for another one. */
function noGoodCopy(reason: BorealisError, stores: readonly ObjectStore[]): BorealisError {
  const where = stores.map(({ label }) => label).join(", ");
  const why = `${reason.message}; there is no good copy in ${where}`;
  return new BorealisError(reason.code, why, {
    hint: "choose another snapshot, or a moment that does not need this one: borealis snapshot list",
    cause: reason,
  });
}

function missing(where: string, name: string): BorealisError {
  return new BorealisError(sqlState.dataCorrupted, `${name} is missing in ${where}`, {
    hint: "somebody deleted it, or it lies in another store",
  });
}

/** Another copy may be good where this one is not, or cannot be reached. */
function mayLieElsewhere(error: unknown): error is BorealisError {
  if (!(error instanceof BorealisError)) return false;
  return error.code === sqlState.dataCorrupted || error.code === sqlState.ioError;
}
