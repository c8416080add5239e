import { createHash, type Hash } from "node:crypto";

/** So much is kept as it is: most transactions are answered with less, and a hash for each would cost more. */
const plainBytesMax = 16 * 1024;

/** What a client was told since a moment, so that it can be told apart from what it would be told the next time. */
export interface Told {
  readonly bytes: number;
  readonly digest: string;
}

/** The running record of what a client was told; see Told. */
export class Transcript {
  private parts: Buffer[] = [];
  private plainBytes = 0;
  private hash: Hash | undefined;
  private totalBytes = 0;
  private readyAtBytes = 0;

  /** What was told is too much to be compared with, and was not in a transaction. */
  isCut = false;

  /** Beyond a small length the hash is for transactions: a long result on its own is not worth what it costs. */
  add(bytes: Buffer, isInTransaction: boolean): void {
    this.totalBytes += bytes.length;
    if (this.isCut) return;
    if (this.hash) {
      this.hash.update(bytes);
      return;
    }
    this.parts.push(bytes);
    this.plainBytes += bytes.length;
    if (this.plainBytes <= plainBytesMax) return;
    if (isInTransaction) this.hash = hashOf(this.parts);
    else this.isCut = true;
    this.parts = [];
  }

  /** A cycle has been answered; what comes now belongs to the next. */
  mark(): void {
    this.readyAtBytes = this.totalBytes;
  }

  reset(): void {
    if (this.parts.length > 0) this.parts = [];
    this.hash = undefined;
    this.isCut = false;
    this.plainBytes = 0;
    this.totalBytes = 0;
    this.readyAtBytes = 0;
  }

  /** Since the last mark: of the cycle that is being answered. */
  get ofCycleBytes(): number {
    return this.totalBytes - this.readyAtBytes;
  }

  get told(): Told {
    const hash = this.hash?.copy() ?? hashOf(this.parts);
    return { bytes: this.totalBytes, digest: hash.digest("hex") };
  }
}

/** Takes the same number of bytes from what a client would be told the second time, and compares. */
export class Comparison {
  private readonly expected: Told;
  private readonly hash = createHash("sha256");
  private leftBytes: number;
  /** Undefined: not all of it has come yet. */
  verdict: "same" | "different" | undefined;

  constructor(expected: Told) {
    this.expected = expected;
    this.leftBytes = expected.bytes;
    this.judge();
  }

  /** Gives what goes beyond the expected, for the client: nothing of that, if the rest differed. */
  take(bytes: Buffer): Buffer {
    const own = bytes.subarray(0, this.leftBytes);
    if (this.verdict === undefined) {
      this.hash.update(own);
      this.leftBytes -= own.length;
      this.judge();
    }
    return this.verdict === "same" ? bytes.subarray(own.length) : bytes.subarray(bytes.length);
  }

  /** It cannot come out the same any more. */
  fail(): void {
    this.verdict ??= "different";
  }

  private judge(): void {
    if (this.leftBytes > 0) return;
    this.verdict = this.hash.digest("hex") === this.expected.digest ? "same" : "different";
  }
}

function hashOf(parts: readonly Buffer[]): Hash {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash;
}
