import type { NodeId } from "../base/ids.ts";
import { advance, bytesBetween, type Lsn } from "../base/lsn.ts";
import {
  type Configuration,
  isWriteQuorum,
  type Member,
  membersOf,
  payloadBytesMax,
} from "../quorum/index.ts";
import type { NodeBook } from "./node-book.ts";

/**
 * Whom new log goes to at once. `everyNode`: cuts the tail where nodes have hosts of their own. `quorumFirst`: for
 * nodes that share one host's cores, where each wake-up of a node that nobody waits for delays one that somebody
 * waits for.
 */
export type FanOutMode = "everyNode" | "quorumFirst";

/** A node that is not waited for is sent to when log has waited this long for it, or this much of it. */
const lazyDelayMs = 5;
const lazyBytesMax = 256 * 1024;
/** An answer that takes twice as long as they lately took, and this at least, is waited for no more. */
const hedgeMinMs = 3;
/** The choice is made again this often, so that a node that became slow is not waited for longer. */
const chooseEveryMs = 500;
/** One that is waited for already keeps its place unless another is quicker by this factor. */
const keepFactor = 0.75;

/** What is due now: everybody; those waited for, together; or only who has waited long enough. */
export type Turn = "everybody" | "eager" | "lazy";

/** Where the log stands. */
export interface LogEnds {
  readonly vcl: Lsn;
  readonly end: Lsn;
}

/**
 * Decides when each node is due for its next append.
 *
 *     quorumFirst:  eager (a write quorum)  one frame to all of them together, once all have answered the last
 *                   lazy (the others)       5 ms or 256 KiB later, in one frame
 *     an eager node is gone, lags, or is overdue ─▶ everybody at once, and another quorum is chosen
 *
 * The commit waits for the slowest of a quorum whoever is asked: asked together, they write the same frames, fewer and
 * bigger, and PostgreSQL hears once for all. Nothing here decides what is durable.
 */
export class FanOut {
  private readonly mode: FanOutMode;
  private readonly configuration: Configuration;
  private readonly members: readonly Member[];
  private readonly books: ReadonlyMap<NodeId, NodeBook>;
  private eager: NodeBook[] = [];
  private chooseAtMs = 0;

  constructor(
    mode: FanOutMode,
    configuration: Configuration,
    books: ReadonlyMap<NodeId, NodeBook>,
  ) {
    this.mode = mode;
    this.configuration = configuration;
    this.members = membersOf(configuration);
    this.books = books;
  }

  /** Whose turn it is; chooses anew when an eager node is not what it was chosen for. */
  turn(nowMs: number, log: LogEnds): Turn {
    if (this.mode === "everyNode") return "everybody";
    if (this.eager.length === 0 || !this.areUsable(nowMs, log)) {
      this.choose(nowMs, log);
      return "everybody";
    }
    if (nowMs >= this.chooseAtMs) this.choose(nowMs, log);
    for (const book of this.eager) if (!book.isFree(nowMs)) return "lazy";
    return "eager";
  }

  /** True if a free node is to be sent what there is for it now. */
  isDue(book: NodeBook, turn: Turn, nowMs: number, log: LogEnds): boolean {
    if (turn === "everybody") return true;
    // Readers wait at it: log and VDL go there at once. Of the others nobody sees how far they are.
    if (book.hasSubscribers) return !book.isEager || turn === "eager" || book.scl >= log.end;
    if (book.isEager) return turn === "eager";
    if (book.scl >= log.end) return false;
    const sinceMs = book.noteWaiting(nowMs);
    return nowMs - sinceMs >= lazyDelayMs || bytesBetween(book.scl, log.end) >= lazyBytesMax;
  }

  /** When to look again though nothing happens; undefined: nothing is pending. */
  wakeAtMs(): number | undefined {
    if (this.mode === "everyNode" || this.eager.length === 0) return undefined;
    let wakeAtMs = Number.POSITIVE_INFINITY;
    for (const book of this.books.values()) {
      const { sentAtMs, waitingSinceMs } = book;
      if (!book.isEager) {
        if (waitingSinceMs !== undefined && sentAtMs === undefined)
          wakeAtMs = Math.min(wakeAtMs, waitingSinceMs + lazyDelayMs);
      } else if (sentAtMs !== undefined) wakeAtMs = Math.min(wakeAtMs, sentAtMs + patienceMs(book));
    }
    return wakeAtMs === Number.POSITIVE_INFINITY ? undefined : wakeAtMs;
  }

  private areUsable(nowMs: number, log: LogEnds): boolean {
    for (const book of this.eager) if (!isUsable(book, nowMs, log)) return false;
    return true;
  }

  /** The best write quorum of usable nodes; none: everybody is sent to until there is one. */
  private choose(nowMs: number, log: LogEnds): void {
    this.chooseAtMs = nowMs + chooseEveryMs;
    for (const book of this.books.values()) book.isEager = false;
    const chosen = this.bestQuorum(nowMs, log);
    this.eager = chosen;
    for (const book of chosen) book.isEager = true;
  }

  /** Nodes with readers first; then no slow ones; then other zones than those taken; then the quickest. */
  private bestQuorum(nowMs: number, log: LogEnds): NodeBook[] {
    const left = this.members.flatMap((member) => {
      const book = this.books.get(member.nodeId);
      return book && isUsable(book, nowMs, log) ? [{ book, az: member.az }] : [];
    });
    const costOf = (book: NodeBook): number =>
      this.eager.includes(book) ? book.latencyMs * keepFactor : book.latencyMs;
    const quickest = Math.min(...left.map(({ book }) => costOf(book)));
    const zones = new Set<string>();
    const chosen: NodeBook[] = [];
    while (!isWriteQuorum(this.configuration, (node) => chosen.some((one) => one.node === node))) {
      let best: { rank: number; index: number } | undefined;
      for (const [index, { book, az }] of left.entries()) {
        const cost = costOf(book);
        const isSlow = cost > 2 * quickest + hedgeMinMs;
        const flags = (book.hasSubscribers ? 0 : 4) + (isSlow ? 2 : 0) + (zones.has(az) ? 1 : 0);
        const rank = flags * rankStep + cost;
        if (!best || rank < best.rank) best = { rank, index };
      }
      if (!best) return [];
      for (const { book, az } of left.splice(best.index, 1)) {
        chosen.push(book);
        zones.add(az);
      }
    }
    return chosen;
  }
}

/** Above any latency, so that what comes first in a rank decides. */
const rankStep = 1e6;

/** True if a commit may wait for this node: it answers, in time, and is not far behind the others. */
function isUsable(book: NodeBook, nowMs: number, log: LogEnds): boolean {
  const { sentAtMs } = book;
  return (
    book.mayReceive(nowMs) &&
    !book.isLagging &&
    (sentAtMs === undefined || nowMs - sentAtMs < patienceMs(book)) &&
    advance(book.scl, payloadBytesMax) >= log.vcl
  );
}

function patienceMs(book: NodeBook): number {
  return Math.max(hedgeMinMs, 2 * book.latencyMs);
}
