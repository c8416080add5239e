import { describe, expect, it } from "vitest";
import { Pool, type PoolAction, type Place, type PlaceHolder, type Seeker } from "./pool.ts";

/** A session of a test: it keeps its place while `why` says so. */
class Session implements PlaceHolder {
  why: string | undefined;
  hurried = 0;
  usedAtMs: number;
  readonly name: string;
  constructor(name: string, usedAtMs: number) {
    this.name = name;
    this.usedAtMs = usedAtMs;
  }
  whyKept(): string | undefined {
    return this.why;
  }
  /** What it does besides, as sessions that nothing keeps do: they offer their place. */
  onHurry: () => void = () => undefined;
  hurry(): void {
    this.hurried++;
    this.onHurry();
  }
}

type Spot = Place<string, Session>;
type Doing = PoolAction<string, Session>;

/** A pool whose actions are done at once, and written down. */
class Script {
  readonly pool: Pool<string, Session>;
  readonly lines: string[] = [];
  readonly sessions = new Map<string, Session>();
  readonly placeOf = new Map<string, Spot>();
  private readonly nameOf = new WeakMap<Seeker<string, Session>, string>();
  private opened = 0;
  nowMs = 0;
  isFull = false;
  /** PostgreSQL's, by group. */
  readonly limits = new Map<string, number>();

  constructor(max: number) {
    this.pool = new Pool<string, Session>(max);
  }

  /** `name` of login `key` needs a connection. */
  seek(
    name: string,
    key = "k",
    options: { isWanted?: () => boolean; accepts?: (line: string | undefined) => boolean } = {},
  ): this {
    this.nowMs++;
    const seeker: Seeker<string, Session> = {
      key,
      groups: [`role ${key.split(" ")[0]}`],
      isWanted: options.isWanted ?? (() => true),
      accepts: ({ line }) => options.accepts?.(line) ?? true,
    };
    this.nameOf.set(seeker, name);
    return this.run(this.pool.request(seeker, this.nowMs));
  }
  /** The session of that name is in the middle of something, or not any more. */
  keep(name: string, why: string | undefined): this {
    this.session(name).why = why;
    return why === undefined ? this.run(this.pool.serve(++this.nowMs)) : this;
  }
  /** ... and gives back what it has. */
  release(name: string): this {
    return this.run(this.pool.released(this.place(name), ++this.nowMs));
  }
  /** Its session says that nothing keeps it. */
  offer(name: string): this {
    return this.run(this.pool.offered(this.place(name), ++this.nowMs));
  }
  lose(name: string): this {
    return this.run(this.pool.gone(this.place(name), ++this.nowMs));
  }
  expire(idleTimeoutMs: number): this {
    return this.run(this.pool.expire(this.nowMs, idleTimeoutMs));
  }
  serve(): this {
    return this.run(this.pool.serve(this.nowMs));
  }
  session(name: string): Session {
    const session = this.sessions.get(name);
    if (!session) throw new Error(`no session ${name}`);
    return session;
  }
  place(name: string): Spot {
    const place = this.placeOf.get(name);
    if (!place) throw new Error(`no place of ${name}`);
    return place;
  }

  private run(actions: readonly Doing[]): this {
    for (const action of actions) this.perform(action);
    return this;
  }
  private perform(action: Doing): void {
    if (action.kind === "close") {
      this.lines.push(`close ${action.place.line} of ${action.place.holder?.name ?? "nobody"}`);
      return;
    }
    const { place, seeker } = action;
    const name = this.nameOf.get(seeker) ?? "?";
    if (action.kind === "open") {
      const limit = this.limits.get(place.groups[0] ?? "") ?? Number.POSITIVE_INFINITY;
      if (this.pool.countOf(place.groups[0] ?? "") > limit) {
        this.lines.push(`too many for ${name}`);
        const [group = ""] = place.groups;
        this.run(this.pool.refusedByLimit(place, seeker, group, this.nowMs));
        return;
      }
      if (this.isFull) {
        this.lines.push(`full for ${name}`);
        this.isFull = false;
        this.run(this.pool.refusedAsFull(place, seeker, this.nowMs));
        return;
      }
      this.pool.opened(place, `c${++this.opened}`);
    }
    const from = action.kind === "take" ? ` from ${action.holder.name}` : "";
    this.lines.push(`${action.kind} ${place.line} to ${name}${from}`);
    const session = this.sessions.get(name) ?? new Session(name, this.nowMs);
    session.usedAtMs = this.nowMs;
    this.sessions.set(name, session);
    this.placeOf.set(name, place);
    place.holder = session;
  }
}

describe("who needs a connection", () => {
  it("gets a new one while there are fewer than may be, and keeps it", () => {
    const script = new Script(2).seek("a").seek("b");
    expect(script.lines).toEqual(["open c1 to a", "open c2 to b"]);
    expect(script.pool.count).toBe(2);
  });

  it("gets the free one that was used last, of its own login only", () => {
    const script = new Script(3).seek("a").seek("b").seek("x", "other");
    script.release("b").release("a").release("x").seek("c");
    expect(script.lines.at(-1)).toBe("give c1 to c");
  });

  it("gets that of the session that has been idle longest, if nothing keeps it there", () => {
    const script = new Script(3).seek("a").seek("b").seek("c");
    script.keep("a", "a transaction is open").seek("d").seek("e");
    expect(script.lines.slice(3)).toEqual(["take c2 to d from b", "take c3 to e from c"]);
  });

  it("gets the place of another login's, that nobody has rather than that somebody has had for longer", () => {
    const script = new Script(2).seek("a").seek("b");
    script.release("b").session("a").usedAtMs = 100;
    script.seek("x", "other");
    expect(script.lines.slice(2)).toEqual(["close c2 of nobody", "open c3 to x"]);
    script.session("x").usedAtMs = 200;
    script.seek("y", "third");
    expect(script.lines.slice(4)).toEqual(["close c1 of a", "open c4 to y"]);
    expect(script.pool.count).toBe(2);
  });

  it("does not get one that it cannot be on, but its place", () => {
    const script = new Script(1).seek("a").seek("b", "k", { accepts: () => false });
    expect(script.lines.slice(1)).toEqual(["close c1 of a", "open c2 to b"]);
  });
});

describe("who has to wait", () => {
  it("is served in order, as sessions come to be idle", () => {
    const script = new Script(1).seek("a").keep("a", "busy").seek("b").seek("c");
    expect(script.lines).toHaveLength(1);
    expect(script.session("a").hurried).toBeGreaterThan(0);
    // b is idle as soon as it has it: c need not wait for it.
    script.keep("a", undefined).serve();
    expect(script.lines.slice(1)).toEqual(["take c1 to b from a", "take c1 to c from b"]);
  });

  it("stands behind those who wait already, whatever is free", () => {
    const script = new Script(1).seek("a").keep("a", "busy").seek("b");
    script.session("a").why = undefined;
    script.seek("c");
    expect(script.lines).toHaveLength(1);
    script.offer("a");
    expect(script.lines[1]).toBe("take c1 to b from a");
  });

  it("gets the place of one of another login's that is offered", () => {
    const script = new Script(1).seek("a").keep("a", "busy").seek("x", "other");
    script.session("a").why = undefined;
    expect(script.offer("a").lines.slice(1)).toEqual(["close c1 of a", "open c2 to x"]);
  });

  it("gets what was given back, or the place of what has ended", () => {
    const script = new Script(2).seek("a").seek("b").keep("a", "busy").keep("b", "busy");
    script.seek("c").seek("d").release("a").lose("b");
    expect(script.lines.slice(2)).toEqual(["give c1 to c", "open c3 to d"]);
  });

  it("is passed over once nobody wants it any more", () => {
    let isWanted = true;
    const script = new Script(1).seek("a").keep("a", "busy");
    script.seek("b", "k", { isWanted: () => isWanted }).seek("c");
    isWanted = false;
    script.keep("a", undefined);
    expect(script.lines.slice(1)).toEqual(["take c1 to c from a"]);
    expect(script.pool.isWanted).toBe(false);
  });

  it("is given nothing by a pool that is closed, and told so", () => {
    const script = new Script(1).seek("a").keep("a", "busy").seek("b").seek("c");
    expect(script.pool.dismiss()).toHaveLength(2);
    expect(script.keep("a", undefined).lines).toHaveLength(1);
  });
});

describe("a PostgreSQL that has too many connections", () => {
  it("is not asked again for a second: those that are there are shared", () => {
    const script = new Script(10).seek("a").seek("b");
    script.isFull = true;
    script.seek("c");
    expect(script.lines.slice(2)).toEqual(["full for c", "take c1 to c from a"]);
    script.seek("d");
    expect(script.lines.at(-1)).toBe("take c2 to d from b");
    script.nowMs += 2_000;
    script.seek("e");
    expect(script.lines.at(-1)).toBe("open c3 to e");
  });
});

describe("connections that nobody uses", () => {
  it("are closed after a while, also under sessions that do not need them", () => {
    const script = new Script(4).seek("a").seek("b").seek("c").seek("d");
    script.release("a").keep("b", "a transaction is open");
    script.nowMs += 1_000;
    script.session("d").usedAtMs = script.nowMs;
    script.expire(500);
    expect(script.lines.slice(4)).toEqual(["close c1 of nobody", "close c3 of c"]);
    expect(script.pool.count).toBe(2);
  });
});

describe("a role that may have no more", () => {
  it("waits for its own, and takes nothing from others", () => {
    const script = new Script(10);
    script.limits.set("role app", 2);
    script.seek("a1", "app").seek("a2", "app").seek("o1", "other").seek("o2", "other");
    for (const name of ["a1", "a2"]) script.session(name).why = "a transaction is open";
    script.seek("a3", "app").seek("a4", "app").seek("o3", "other");
    expect(script.lines.slice(4)).toEqual(["too many for a3", "open c5 to o3"]);
    expect(script.pool.count).toBe(5);
    expect(script.pool.isWanted).toBe(true);
    script.release("a2");
    expect(script.lines.slice(6)).toEqual(["give c2 to a3"]);
    script.session("a1").why = undefined;
    script.offer("a1");
    expect(script.lines.slice(7)).toEqual(["take c1 to a4 from a1"]);
  });

  it("asks nothing of others, and neither their offers nor their requests go round in circles", () => {
    const script = new Script(10);
    script.limits.set("role app", 1);
    script.seek("a1", "app").seek("o1", "other");
    script.session("a1").why = "a transaction is open";
    const other = script.session("o1");
    other.onHurry = () => script.offer("o1");
    script.seek("a2", "app").offer("o1").seek("o2", "other").serve();
    expect(script.lines.slice(2)).toEqual(["too many for a2", "open c3 to o2"]);
    expect(other.hurried).toBe(0);
    expect(script.pool.isUseful(script.place("o1"))).toBe(false);
    expect(script.pool.isUseful(script.place("a1"))).toBe(true);
    expect(script.session("a1").hurried).toBeGreaterThan(0);
  });

  it("tries one more after a while, and has more when there may be", () => {
    const script = new Script(10);
    script.limits.set("role app", 1);
    script.seek("a1", "app");
    script.session("a1").why = "a transaction is open";
    for (const name of ["a2", "a3", "a4"]) script.seek(name, "app");
    script.nowMs += 2_000;
    script.serve().serve();
    script.limits.set("role app", 3);
    script.serve();
    script.nowMs += 2_000;
    script.serve().session("a2").why = "a transaction is open";
    script.serve();
    expect(script.lines.slice(1)).toEqual(["too many for a2", "too many for a2", "open c2 to a2"]);
    script.lose("a1");
    expect(script.lines.slice(4)).toEqual(["open c3 to a3"]);
  });

  it("gives one of its idle places to another of its logins, one at a time", () => {
    const script = new Script(10);
    script.limits.set("role app", 3);
    for (const name of ["a1", "a2", "a3"]) script.seek(name, "app");
    script.limits.set("role app", 2);
    script.seek("x", "app as-x").seek("y", "other");
    expect(script.lines.slice(3)).toEqual([
      "too many for x",
      "close c1 of a1",
      "too many for x",
      "open c4 to y",
    ]);
    script.limits.set("role app", 3);
    script.nowMs += 2_000;
    expect(script.serve().lines.slice(7)).toEqual(["open c5 to x"]);
  });
});
