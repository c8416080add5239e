/** An object as a listing shows it. */
export interface ObjectFacts {
  readonly name: string;
  readonly sizeBytes: number;
  /** When it was last put, on the store's clock, in milliseconds of the Unix epoch. */
  readonly putAtMs: number;
  /** Another volume uses the same bytes: a clone, or what this one is a clone of. */
  readonly isShared: boolean;
}

/**
 * Named immutable bytes: a folder, a bucket, a full storage node. Correctness rests on nothing but this: a put that has
 * resolved survives a power failure, and is seen whole or not at all (decisions.md D31: conditional writes are a help,
 * never a need). Names are those of object-names.ts. Every call raises BorealisError: 58030 (the store cannot be reached
 * or refuses), 53100 (it is full), XX001 (what it gave is damaged), each with a hint that says what to do.
 */
export interface ObjectStore {
  /** For people: `objects folder`, `s3://bucket/prefix`, `az1-full`. */
  readonly label: string;

  /** Why calls have been tried again for a while now, and what to do, for people; undefined: they go well. */
  readonly trouble?: string | undefined;

  /** Replaces what had the name. Durable when it resolves; putting the same again makes it young again. */
  put(name: string, bytes: Uint8Array): Promise<void>;

  /** Undefined: there is no such object. */
  get(name: string): Promise<Buffer | undefined>;

  /** Which of these are there. */
  has(names: readonly string[]): Promise<ReadonlySet<string>>;

  /** All whose names begin so, in the order of their names; objects that come or go meanwhile may be in it or not. */
  list(prefix: string): AsyncIterable<ObjectFacts>;

  /** Durable when it resolves: nothing comes back with the power. What is not there is gone already. */
  delete(names: readonly string[]): Promise<void>;

  /**
   * Takes what another store has of these under the same names, where both are places of one service that copies by itself: no
   * bytes come through this process. Gives the names that are here now, durable as puts are; the others are for the caller to
   * put. Nothing is looked at on the way, so damage comes along. What is taken may be as old as it was there.
   */
  copyFrom?(from: Relative, names: readonly string[]): Promise<ReadonlySet<string>>;

  /** Takes away what puts left behind that began before then and never ended, where a store has such a thing. */
  tidy?(beforeMs: number): Promise<void>;

  close(): Promise<void>;
}

/** Where another volume of the family has its objects. */
export interface Relative {
  readonly volumeId: string;
  readonly store: ObjectStore;
  /**
   * What was put there later, in milliseconds of the Unix epoch, is its own affair: it may be sealed with a key that this volume
   * has not. Undefined: the volume is no more, or has no other keys.
   */
  readonly putBeforeMs?: number | undefined;
}
