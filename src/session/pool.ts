import { Deque } from "../base/deque.ts";

/** A session that holds a place; see Holder. */
export interface PlaceHolder {
  whyKept(): string | undefined;
  readonly usedAtMs: number;
  hurry(): void;
}

/**
 * One server connection, as it is counted:
 * - opening: for the seeker that asked for it
 * - free: nobody has it
 * - held: by a session; with a holder, it may be taken from that whenever nothing keeps it
 */
export interface Place<L, H extends PlaceHolder> {
  /** What a login must have in common with the one that opened it. */
  readonly key: string;
  state: "opening" | "free" | "held";
  /** Once it is open. */
  line: L | undefined;
  holder: H | undefined;
  /** When it was given back. */
  freeSinceMs: number;
}

/** Somebody who needs a connection. */
export interface Seeker<L, H extends PlaceHolder> {
  readonly key: string;
  /** Nobody to be given anything any more. */
  isWanted(): boolean;
  /** Whether it can be on this one; never asked about others' keys. */
  accepts(place: Place<L, H>): boolean;
}

/** What is to be done, in this order. */
export type PoolAction<L, H extends PlaceHolder> =
  | { readonly kind: "give"; readonly place: Place<L, H>; readonly seeker: Seeker<L, H> }
  /** `holder` gives it up first. */
  | {
      readonly kind: "take";
      readonly place: Place<L, H>;
      readonly holder: H;
      readonly seeker: Seeker<L, H>;
    }
  | { readonly kind: "open"; readonly place: Place<L, H>; readonly seeker: Seeker<L, H> }
  /** If it has a holder, that gives it up first. */
  | { readonly kind: "close"; readonly place: Place<L, H> };

/** For so long fewer connections are opened after PostgreSQL has said that it has too many; then `serve` is to be called. */
export const fullForMs = 1_000;

/**
 * The server connections of one life of one PostgreSQL, pure. A session that has one keeps it for as long as nobody needs
 * it more. Who needs one gets a free one of its login; else a new one, while there are fewer than `max`; else that of the
 * session of the same login that has been idle longest; else the place of anybody's that is free or idle; else it waits,
 * in order.
 */
export class Pool<L, H extends PlaceHolder> {
  private max: number;
  private fullUntilMs = Number.NEGATIVE_INFINITY;
  private fullMax = Number.POSITIVE_INFINITY;
  private readonly places = new Set<Place<L, H>>();
  private readonly seekers = new Deque<Seeker<L, H>>();

  constructor(max: number) {
    this.max = max;
  }

  setMax(max: number): void {
    this.max = max;
  }

  get count(): number {
    return this.places.size;
  }

  get freeCount(): number {
    let count = 0;
    for (const { state } of this.places) if (state === "free") count++;
    return count;
  }

  get all(): Iterable<Place<L, H>> {
    return this.places;
  }

  /** Why places are kept at this moment, and how many. */
  get reasons(): Map<string, number> {
    const reasons = new Map<string, number>();
    for (const { state, holder } of this.places) {
      const why = state === "held" ? holder?.whyKept() : undefined;
      if (why !== undefined) reasons.set(why, (reasons.get(why) ?? 0) + 1);
    }
    return reasons;
  }

  /** Somebody waits. */
  get isWanted(): boolean {
    this.dropUnwanted();
    return this.seekers.length > 0;
  }

  request(seeker: Seeker<L, H>, nowMs: number): PoolAction<L, H>[] {
    // There was nothing for who waits already, and whatever comes is theirs first.
    const mustWait = this.isWanted;
    this.seekers.pushBack(seeker);
    return mustWait ? [] : this.serve(nowMs);
  }

  /** Nothing keeps this place at its holder. */
  offered(place: Place<L, H>, nowMs: number): PoolAction<L, H>[] {
    this.dropUnwanted();
    const seeker = this.seekers.front();
    const { holder } = place;
    const fits = holder !== undefined && seeker?.key === place.key && seeker.accepts(place);
    if (!seeker || !fits) return this.serve(nowMs);
    this.seekers.popFront();
    place.holder = undefined;
    return [{ kind: "take", place, holder, seeker }];
  }

  /** Nobody waits here any more; gives those who did. */
  dismiss(): Seeker<L, H>[] {
    const all: Seeker<L, H>[] = [];
    for (let one = this.seekers.popFront(); one; one = this.seekers.popFront()) all.push(one);
    return all;
  }

  /** What was asked for by "open" is there. */
  opened(place: Place<L, H>, line: L): void {
    place.line = line;
    place.state = "held";
  }

  /** PostgreSQL has too many connections: the seeker is the first to get another. */
  refusedAsFull(place: Place<L, H>, seeker: Seeker<L, H>, nowMs: number): PoolAction<L, H>[] {
    this.places.delete(place);
    this.fullMax = this.places.size;
    this.fullUntilMs = nowMs + fullForMs;
    this.seekers.pushFront(seeker);
    return this.serve(nowMs);
  }

  /** Nobody has it any more. */
  released(place: Place<L, H>, nowMs: number): PoolAction<L, H>[] {
    if (!this.places.has(place)) return [];
    place.state = "free";
    place.holder = undefined;
    place.freeSinceMs = nowMs;
    return this.serve(nowMs);
  }

  /** It has ended, or could not be opened. */
  gone(place: Place<L, H>, nowMs: number): PoolAction<L, H>[] {
    return this.places.delete(place) ? this.serve(nowMs) : [];
  }

  /** Gives the first who wait what there is. */
  serve(nowMs: number): PoolAction<L, H>[] {
    const actions: PoolAction<L, H>[] = [];
    for (;;) {
      this.dropUnwanted();
      const seeker = this.seekers.front();
      if (!seeker) return actions;
      const found = this.find(seeker, nowMs);
      if (!found) {
        this.hurry();
        return actions;
      }
      this.seekers.popFront();
      actions.push(...found);
    }
  }

  /** Nobody has used them for so long. */
  expire(nowMs: number, idleTimeoutMs: number): PoolAction<L, H>[] {
    const actions: PoolAction<L, H>[] = [];
    for (const place of this.places) {
      const sinceMs = this.idleSinceMs(place);
      if (sinceMs === undefined || nowMs - sinceMs < idleTimeoutMs) continue;
      this.places.delete(place);
      actions.push({ kind: "close", place });
    }
    return actions;
  }

  private find(seeker: Seeker<L, H>, nowMs: number): PoolAction<L, H>[] | undefined {
    const free = this.freeFor(seeker);
    if (free) {
      free.state = "held";
      return [{ kind: "give", place: free, seeker }];
    }
    if (this.places.size < this.maxAt(nowMs)) return [this.open(seeker)];
    const taken = this.longestIdle((place) => place.key === seeker.key && seeker.accepts(place));
    if (taken?.holder) {
      const { holder } = taken;
      taken.holder = undefined;
      return [{ kind: "take", place: taken, holder, seeker }];
    }
    const other = this.longestIdle(() => true);
    if (!other) return undefined;
    this.places.delete(other);
    return [{ kind: "close", place: other }, this.open(seeker)];
  }

  private open(seeker: Seeker<L, H>): PoolAction<L, H> {
    const place: Place<L, H> = {
      key: seeker.key,
      state: "opening",
      line: undefined,
      holder: undefined,
      freeSinceMs: 0,
    };
    this.places.add(place);
    return { kind: "open", place, seeker };
  }

  /** The one that was used last: the others can end. */
  private freeFor(seeker: Seeker<L, H>): Place<L, H> | undefined {
    let best: Place<L, H> | undefined;
    for (const place of this.places) {
      if (place.state !== "free" || place.key !== seeker.key || !seeker.accepts(place)) continue;
      if (!best || place.freeSinceMs >= best.freeSinceMs) best = place;
    }
    return best;
  }

  private longestIdle(isOne: (place: Place<L, H>) => boolean): Place<L, H> | undefined {
    let best: Place<L, H> | undefined;
    let bestMs = Number.POSITIVE_INFINITY;
    for (const place of this.places) {
      const sinceMs = this.idleSinceMs(place, bestMs);
      if (sinceMs === undefined || !isOne(place)) continue;
      best = place;
      bestMs = sinceMs;
    }
    return best;
  }

  /** Undefined: it is in use, or not for so long as since `beforeMs`. */
  private idleSinceMs(place: Place<L, H>, beforeMs = Number.POSITIVE_INFINITY): number | undefined {
    const { state, holder, freeSinceMs } = place;
    if (state === "free") return freeSinceMs < beforeMs ? freeSinceMs : undefined;
    if (state !== "held" || !holder || holder.usedAtMs >= beforeMs) return undefined;
    return holder.whyKept() === undefined ? holder.usedAtMs : undefined;
  }

  private maxAt(nowMs: number): number {
    return nowMs < this.fullUntilMs ? Math.min(this.max, this.fullMax) : this.max;
  }

  private hurry(): void {
    for (const { state, holder } of this.places) if (state === "held") holder?.hurry();
  }

  private dropUnwanted(): void {
    while (this.seekers.front()?.isWanted() === false) this.seekers.popFront();
  }
}
