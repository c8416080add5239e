/** Connections that are not logged in yet are bounded: for each address, and in whole. */
export interface HalfOpenLimits {
  readonly max: number;
  readonly perAddressMax: number;
}

/**
 * How far somebody at the door is; who is least far makes room first.
 * - silent: has sent no start-up packet
 * - owing: has, and we wait for what it has to say next
 * - slowed: waits for its turn among those who guess, or to be told that it was wrong
 * - served: waits for us
 */
export type Standing = "silent" | "owing" | "slowed" | "served";

const standings: readonly Standing[] = ["silent", "owing", "slowed", "served"];

/** Where somebody comes from: the address that it counts for (address-key.ts), and the network of many such. */
export interface Origin {
  readonly address: string;
  readonly network: string;
}

/**
 * - enters; `evicted` has to make room for it
 * - refused: its address has too many, or all have, and none of them is to make room
 */
export type Arrival<T> =
  | { readonly kind: "enters"; readonly evicted: T | undefined }
  | { readonly kind: "refused"; readonly by: "address" | "all" };

/**
 * Who is at the door, by address. Where no room is left, somebody makes room for the newcomer: of the network that has the most,
 * who is least far, and the oldest of those. So whoever fills the house with connections that say nothing keeps nobody out, also
 * nobody of their own address: a newcomer speaks before it is the oldest. Only those whom we serve stay.
 */
export class HalfOpenBook<T extends object> {
  private readonly limits: HalfOpenLimits;
  private readonly standingOf: (visitor: T) => Standing;
  private readonly byAddress = new Map<string, Set<T>>();
  private readonly byNetwork = new Map<string, Set<T>>();
  private readonly originOf = new Map<T, Origin>();

  constructor(limits: HalfOpenLimits, standingOf: (visitor: T) => Standing) {
    this.limits = limits;
    this.standingOf = standingOf;
  }

  get count(): number {
    return this.originOf.size;
  }

  /** The oldest first. */
  get all(): Iterable<T> {
    return this.originOf.keys();
  }

  arrive(visitor: T, origin: Origin): Arrival<T> {
    const { max, perAddressMax } = this.limits;
    const same = this.byAddress.get(origin.address);
    let evicted: T | undefined;
    if (same && same.size >= perAddressMax) {
      evicted = this.leastFar(same, "slowed");
      if (!evicted) return { kind: "refused", by: "address" };
    } else if (this.count >= max) {
      evicted = this.whoMakesRoomFor(origin);
      if (!evicted) return { kind: "refused", by: "all" };
    }
    if (evicted) this.leave(evicted);
    add(this.byAddress, origin.address, visitor);
    add(this.byNetwork, origin.network, visitor);
    this.originOf.set(visitor, origin);
    return { kind: "enters", evicted };
  }

  /** It has logged in, or is gone. */
  leave(visitor: T): void {
    const origin = this.originOf.get(visitor);
    if (!origin) return;
    this.originOf.delete(visitor);
    remove(this.byAddress, origin.address, visitor);
    remove(this.byNetwork, origin.network, visitor);
  }

  private whoMakesRoomFor({ network }: Origin): T | undefined {
    let largest: ReadonlySet<T> = new Set();
    for (const one of this.byNetwork.values()) if (one.size > largest.size) largest = one;
    const own = this.byNetwork.get(network)?.size ?? 0;
    // Where others have more, they are in the newcomer's way, whatever they do.
    return (
      this.leastFar(largest, own + 1 < largest.size ? "served" : "slowed") ??
      this.leastFar(this.all, "slowed")
    );
  }

  /** The oldest of those who are least far, if they are no farther than that. */
  private leastFar(visitors: Iterable<T>, farthest: Standing): T | undefined {
    let found: T | undefined;
    let limit = standings.indexOf(farthest) + 1;
    for (const visitor of visitors) {
      const far = standings.indexOf(this.standingOf(visitor));
      if (far >= limit) continue;
      found = visitor;
      limit = far;
      if (far === 0) break;
    }
    return found;
  }
}

function add<T>(book: Map<string, Set<T>>, key: string, visitor: T): void {
  const known = book.get(key);
  if (known) known.add(visitor);
  else book.set(key, new Set([visitor]));
}

function remove<T>(book: Map<string, Set<T>>, key: string, visitor: T): void {
  const known = book.get(key);
  known?.delete(visitor);
  if (known?.size === 0) book.delete(key);
}
