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

  /** Takes away what puts left behind that began before then and never ended, where a store has such a thing. */
  tidy?(beforeMs: number): Promise<void>;

  close(): Promise<void>;
}
