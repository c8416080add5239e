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
  readonly groups: readonly string[];
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
  /** What PostgreSQL may limit connections by, besides their sum: its role, its database. */
  readonly groups: readonly string[];
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

/** PostgreSQL lets no more than `max` of a group in; until it is tried again. */
interface Limit {
  readonly max: number;
  readonly untilMs: number;
  /** For who waits one of the group was closed: PostgreSQL may need a moment to see that. */
  hasClosed: boolean;
}

/**
 * The server connections of one life of one PostgreSQL, pure. A session that has one keeps it for as long as nobody needs
 * it more. Who needs one gets a free one of its login; else a new one, while there are fewer than `max`; else that of the
 * session of the same login that has been idle longest; else the place of anybody's that is free or idle; else it waits,
 * in order. Who waits for others of its own role or database, which has a limit of its own, is nobody else's concern.
 */
export class Pool<L, H extends PlaceHolder> {
  private max: number;
  private fullUntilMs = Number.NEGATIVE_INFINITY;
  private fullMax = Number.POSITIVE_INFINITY;
  private readonly places = new Set<Place<L, H>>();
  private readonly seekers = new Deque<Seeker<L, H>>();
  private readonly limits = new Map<string, Limit>();
  /** Who waits for a group that is at its limit, by group: before all others, for what those cannot have. */
  private readonly aside = new Map<string, Deque<Seeker<L, H>>>();

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

  /** Who waits; some may have gone meanwhile. */
  get seekerCount(): number {
    return this.queues().reduce((sum, queue) => sum + queue.length, 0);
  }

  get all(): Iterable<Place<L, H>> {
    return this.places;
  }

  /** Why places (of this group) are kept at this moment, and how many. */
  reasons(group?: string): Map<string, number> {
    const reasons = new Map<string, number>();
    for (const { state, holder, groups } of this.places) {
      const isOne = state === "held" && (group === undefined || groups.includes(group));
      const why = isOne ? holder?.whyKept() : undefined;
      if (why !== undefined) reasons.set(why, (reasons.get(why) ?? 0) + 1);
    }
    return reasons;
  }

  /** The group whose limit it waits for, if there is one. */
  limitOf(seeker: Seeker<L, H>): string | undefined {
    for (const [group, queue] of this.aside)
      for (let index = 0; index < queue.length; index++)
        if (queue.at(index) === seeker) return group;
    return undefined;
  }

  /** Somebody waits. */
  get isWanted(): boolean {
    for (const queue of this.queues()) if (firstOf(queue)) return true;
    return false;
  }

  /** Somebody waits whom this place could be of use to. */
  isUseful({ groups }: Place<L, H>): boolean {
    if (firstOf(this.seekers)) return true;
    return [...this.aside].some(([group, queue]) => groups.includes(group) && firstOf(queue));
  }

  request(seeker: Seeker<L, H>, nowMs: number): PoolAction<L, H>[] {
    // There was nothing for who waits already, and whatever comes is theirs first.
    const mustWait = firstOf(this.seekers) !== undefined;
    this.seekers.pushBack(seeker);
    return mustWait ? [] : this.serve(nowMs);
  }

  /** What it was given has ended: it is the first to get another. */
  again(seeker: Seeker<L, H>, nowMs: number): PoolAction<L, H>[] {
    this.seekers.pushFront(seeker);
    return this.serve(nowMs);
  }

  /** Nothing keeps this place at its holder. */
  offered(place: Place<L, H>, nowMs: number): PoolAction<L, H>[] {
    const { holder } = place;
    for (const queue of this.queues()) {
      const seeker = firstOf(queue);
      if (!holder || seeker?.key !== place.key || !seeker.accepts(place)) continue;
      queue.popFront();
      place.holder = undefined;
      return [{ kind: "take", place, holder, seeker }];
    }
    return this.serve(nowMs);
  }

  /** Nobody waits here any more; gives those who did. */
  dismiss(): Seeker<L, H>[] {
    const all: Seeker<L, H>[] = [];
    for (const queue of this.queues())
      for (let one = queue.popFront(); one; one = queue.popFront()) all.push(one);
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

  /** PostgreSQL has too many connections of this group, of its role or database: others are not concerned. */
  refusedByLimit(
    place: Place<L, H>,
    seeker: Seeker<L, H>,
    group: string,
    nowMs: number,
  ): PoolAction<L, H>[] {
    this.places.delete(place);
    const hasClosed = this.limits.get(group)?.hasClosed === true;
    this.limit(group, nowMs, hasClosed);
    this.asideOf(group).pushFront(seeker);
    return this.serve(nowMs);
  }

  /** Places of this group. */
  countOf(group: string): number {
    let count = 0;
    for (const { groups } of this.places) if (groups.includes(group)) count++;
    return count;
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
    for (const [group, queue] of this.aside) {
      this.serveAside(group, queue, nowMs, actions);
      if (queue.length === 0) this.aside.delete(group);
    }
    for (let seeker = firstOf(this.seekers); seeker; seeker = firstOf(this.seekers)) {
      const group = this.limitFor(seeker, nowMs);
      const isBehind = group !== undefined && this.aside.has(group);
      const found = isBehind ? undefined : this.find(seeker, nowMs);
      if (!found && group === undefined) break;
      this.seekers.popFront();
      if (found) actions.push(...found);
      else if (group !== undefined) this.asideOf(group).pushBack(seeker);
    }
    if (this.isWanted) this.hurry();
    return actions;
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

  private serveAside(
    group: string,
    queue: Deque<Seeker<L, H>>,
    nowMs: number,
    actions: PoolAction<L, H>[],
  ): void {
    for (let seeker = firstOf(queue); seeker; seeker = firstOf(queue)) {
      const isTrial = nowMs >= (this.limits.get(group)?.untilMs ?? nowMs);
      const found = this.find(seeker, nowMs);
      if (!found) return;
      queue.popFront();
      actions.push(...found);
      // One at a time finds out whether there may be more by now.
      if (isTrial && found.some(({ kind }) => kind === "open")) this.limit(group, nowMs, false);
    }
  }

  private find(seeker: Seeker<L, H>, nowMs: number): PoolAction<L, H>[] | undefined {
    const free = this.freeFor(seeker);
    if (free) {
      free.state = "held";
      return [{ kind: "give", place: free, seeker }];
    }
    const group = this.limitFor(seeker, nowMs);
    if (group === undefined && this.places.size < this.maxAt(nowMs)) return [this.open(seeker)];
    const taken = this.longestIdle((place) => place.key === seeker.key && seeker.accepts(place));
    if (taken?.holder) {
      const { holder } = taken;
      taken.holder = undefined;
      return [{ kind: "take", place: taken, holder, seeker }];
    }
    const limit = group === undefined ? undefined : this.limits.get(group);
    if (limit?.hasClosed === true) return undefined;
    const isOne = ({ groups }: Place<L, H>): boolean =>
      group === undefined || groups.includes(group);
    const other = this.longestIdle(isOne);
    if (!other) return undefined;
    if (limit) limit.hasClosed = true;
    this.places.delete(other);
    return [{ kind: "close", place: other }, this.open(seeker)];
  }

  /** The first of its groups that is at its limit. */
  private limitFor({ groups }: Seeker<L, H>, nowMs: number): string | undefined {
    if (this.limits.size === 0) return undefined;
    return groups.find((group) => {
      const limit = this.limits.get(group);
      if (!limit) return false;
      if (nowMs < limit.untilMs) return this.countOf(group) >= limit.max;
      if (!this.aside.has(group)) this.limits.delete(group);
      return false;
    });
  }

  private limit(group: string, nowMs: number, hasClosed: boolean): void {
    this.limits.set(group, { max: this.countOf(group), untilMs: nowMs + fullForMs, hasClosed });
  }

  private asideOf(group: string): Deque<Seeker<L, H>> {
    const queue = this.aside.get(group) ?? new Deque<Seeker<L, H>>();
    this.aside.set(group, queue);
    return queue;
  }

  private queues(): Deque<Seeker<L, H>>[] {
    return [...this.aside.values(), this.seekers];
  }

  private open(seeker: Seeker<L, H>): PoolAction<L, H> {
    const place: Place<L, H> = {
      key: seeker.key,
      groups: seeker.groups,
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

  /** What nothing keeps was looked at: it would only offer itself again. */
  private hurry(): void {
    for (const place of this.places) {
      const { state, holder } = place;
      if (state !== "held" || !holder || !this.isUseful(place)) continue;
      if (holder.whyKept() !== undefined) holder.hurry();
    }
  }
}

/** Of those who are wanted still; others leave the queue. */
function firstOf<L, H extends PlaceHolder>(queue: Deque<Seeker<L, H>>): Seeker<L, H> | undefined {
  while (queue.front()?.isWanted() === false) queue.popFront();
  return queue.front();
}
