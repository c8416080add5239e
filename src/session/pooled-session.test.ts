/** Sessions, their pool and what they borrow from it, over something that speaks a little of PostgreSQL's protocol. */
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { InvariantBroken } from "../base/assert.ts";
import { instanceId } from "../base/ids.ts";
import { type Clock, closedConnection, openLogger, realClock } from "../io/index.ts";
import { ClassificationCache, loadParser } from "../route/index.ts";
import {
  encodeBind,
  encodeExecute,
  encodeParse,
  encodeQuery,
  encodeReadyForQuery,
  encodeSync,
  transactionState,
} from "../wire/index.ts";
import { eventually } from "../../test/helpers/eventually.ts";
import { VirtualClock } from "../../test/helpers/virtual-clock.ts";
import { FakeClient, FakePostgres, type Verdict } from "../../test/helpers/fake-postgres.ts";
import type { AdminSessions } from "./admin-shell.ts";
import { cancelSession } from "./cancel-shell.ts";
import type { HiddenState } from "./hidden-state.ts";
import { LoadBook } from "./load-book.ts";
import { TextPlanner } from "./plan.ts";
import { Pools } from "./pool-shell.ts";
import { borrowServer, type Pooling } from "./pooled-server-shell.ts";
import { SessionBook } from "./session-book.ts";
import { SessionCounters } from "./session-counters.ts";
import { Session } from "./session-shell.ts";
import type { Arrival, SharedWorld } from "./session-world-shell.ts";
import type { SessionWorld } from "./world-shell.ts";

const greeting = encodeReadyForQuery(transactionState.idle);
const key = { pid: 1, key: Buffer.alloc(4) };
const logger = openLogger({ file: undefined, process: "test" });
const parameters = new Map([
  ["client_encoding", "UTF8"],
  ["standard_conforming_strings", "on"],
]);

/** Sessions of one login, which share one connection. */
class World {
  readonly postgres = new FakePostgres();
  readonly pools: Pools;
  idleTimeoutMs = 0;
  holdTimeoutMs = 30_000;
  isServing = true;
  lossKnown: Promise<void> = Promise.resolve();
  isSilent = false;
  hasOther = true;
  readonly counters = new SessionCounters();
  private readonly planner = new TextPlanner(new ClassificationCache());
  private readonly shared: SharedWorld;
  private readonly target;
  private readonly hidden: HiddenState;
  private readonly clock: Clock;

  constructor(changesSession: HiddenState["changesSession"] = "no", clock: Clock = realClock) {
    this.clock = clock;
    const { address } = this.postgres;
    const target = {
      instanceId: instanceId("instance-1"),
      role: "writer",
      incarnation: "1",
      address,
    } as const;
    this.target = target;
    this.pools = new Pools({
      clock,
      logger,
      counters: this.counters,
      settings: { maxConnectionsPercent: 100, borrowTimeoutMs: 8_000, idleTimeoutMs: 60_000 },
      connectionsOf: () => Promise.resolve(1),
    });
    const topology = {
      writer: () => target,
      instance: () => (this.isSilent ? undefined : target),
      hasEnded: () => false,
      onChange: () => () => undefined,
      isRewinding: () => false,
    };
    this.shared = {
      clock,
      topology,
      counters: this.counters,
      load: new LoadBook(),
      pools: this.pools,
    } as unknown as SharedWorld;
    this.hidden = {
      changesSession,
      customNames: [],
      keepsOwnState: false,
      hasNative: false,
      readsDrawn: false,
      leavesUnseen: "no",
    };
    this.planner.learnTraits({
      hasDeferrableTriggers: false,
      hasRules: false,
      relationsWithCode: new Set(),
      codeNames: new Set(),
      outsideNames: new Set(),
      hidden: this.hidden,
    });
  }

  connect(): { client: FakeClient; session: Session; memory: SessionBook } {
    const client = new FakeClient();
    const { shared, target, idleTimeoutMs, holdTimeoutMs, planner } = this;
    const memory = new SessionBook({ user: "u", hidden: () => this.hidden });
    const pooling: Pooling = {
      key: "k",
      sticks: false,
      parameters: [{ name: "user", value: Buffer.from("u") }],
      base: new Map(),
      idleTimeoutMs,
      at: undefined,
    };
    const seat = shared.load.newSeat();
    const findTarget = () => (this.isSilent ? undefined : target);
    const arrival = { client, seat, findTarget } as unknown as Arrival;
    const exchange = { isHonest: true, planner, memory };
    const world: SessionWorld = {
      clock: this.clock,
      logger,
      counters: this.counters,
      awaitDurable: {
        untilFlushed: () => Promise.resolve(),
        untilInserted: () => Promise.resolve(),
        untilParametersKept: () => Promise.resolve(undefined),
      },
      fates: {
        of: () => Promise.resolve("neverHappened"),
        ofEnded: () => Promise.resolve("unknown"),
      },
      holdTimeoutMs,
      gateOf: () => undefined,
      exchangeOf: () => exchange,
      isPooled: true,
      idleTimeoutMs,
      connect: (wanted) =>
        borrowServer(shared, arrival, pooling, wanted, (name) => memory.hasCustom(name)),
      isOver: () => this.isSilent,
      isLeaving: () => false,
      isSilent: () => this.isSilent,
      hasOther: () => this.hasOther,
      distrust() {},
      isServing: () => Promise.resolve(this.isServing),
      wasEndedOnPurpose: () => Promise.resolve(false),
      untilLossIsKnown: () => this.lossKnown,
      onTraitsChanging() {},
      onTraitsSettled() {},
      onEnd() {},
    };
    const parked = {
      kind: "ready",
      target,
      connection: closedConnection(),
      greeting,
      key,
      parameters,
    } as const;
    const session = new Session({
      client,
      backend: parked,
      isParked: true,
      clientKey: key.key,
      world,
    });
    session.start(Buffer.alloc(0));
    return { client, session, memory };
  }

  /** From here on a text that begins so waits until the returned function is called. */
  holds(part: string): () => void {
    let go = (): void => undefined;
    const gate = new Promise<Verdict>((resolve) => {
      go = () => resolve("ok");
    });
    this.postgres.onText = (text) => (text.startsWith(part) ? gate : "ok");
    return () => go();
  }
  /** The cluster says that it hangs. */
  hang(...sessions: readonly { session: Session }[]): void {
    this.isSilent = true;
    for (const { session } of sessions) session.noteLeaving();
    this.pools.retire(() => true);
  }

  ran(part: string): number {
    return this.postgres.log.filter((line) => line.includes(part)).length;
  }

  async close(): Promise<void> {
    this.pools.close();
    await this.postgres.close();
  }
}

describe("sessions that share one connection", () => {
  let world: World;
  const open = async (next = new World()): Promise<World> => {
    await world?.close();
    world = next;
    await world.postgres.listen();
    return world;
  };
  beforeAll(() => loadParser());
  beforeEach(() => open());
  afterEach(async () => {
    await world.close();
  });

  it.each(["do $$begin end$$", "select 1", "insert into t values (1)"])(
    "do not get what a client with a broken socket leaves: %s",
    async (text) => {
      const [a, b] = [world.connect(), world.connect()];
      await b.client.ask(encodeParse("p", "select 7"), encodeSync());
      const go = world.holds("select sleep");
      a.client.send(encodeQuery("select sleep(1)"));
      await eventually("it runs", () => world.ran("sleep") === 1);
      b.client.send(encodeQuery(text));
      a.client.reset();
      go();
      expect(await b.client.hear()).toBe("C Z");
      expect(world.ran(text)).toBe(1);
    },
  );

  it("end alone by an error that nobody expected, from whichever side it came", async () => {
    const [a, b, c] = [world.connect(), world.connect(), world.connect()];
    const fails = (): never => {
      throw new RangeError("Maximum call stack size exceeded");
    };
    a.memory.runSent = fails;
    expect(await a.client.ask(encodeQuery("select 1"))).toBe("XX000");
    b.memory.ready = fails;
    // Of what the server had said by then nothing is known to be told: not that it failed either.
    expect(await b.client.ask(encodeQuery("select 2"))).not.toContain("XX000");
    expect([a.client.hasEnded, b.client.hasEnded]).toEqual([true, true]);
    expect(await c.client.ask(encodeQuery("select 3"))).toBe("C Z");
    c.memory.restore = fails;
    await world.connect().client.ask(encodeQuery("select 4"));
    expect(await c.client.ask(encodeQuery("select 5"))).toBe("XX000");
  });

  it("end the process by a broken law", () => {
    const a = world.connect();
    a.session.survivor.fromClient = () => {
      throw new InvariantBroken("it holds");
    };
    expect(() => a.client.send(encodeQuery("select 1"))).toThrow(InvariantBroken);
  });

  it("count as idle from the end of a statement, not from its beginning", async () => {
    const clock = new VirtualClock();
    await open(new World("no", clock));
    world.idleTimeoutMs = 400;
    const a = world.connect();
    const go = world.holds("select sleep");
    a.client.send(encodeQuery("select sleep(1)"));
    await eventually("it runs", () => world.ran("sleep") === 1);
    clock.passBy(500);
    const b = world.connect();
    b.client.send(encodeQuery("select 1"));
    go();
    expect(await a.client.hear()).toBe("C Z");
    expect(await b.client.hear()).toBe("C Z");
    expect(a.session.survivor.isParked).toBe(true);
    clock.passBy(399);
    expect(a.client.hasEnded).toBe(false);
    clock.passBy(1);
    await eventually("it has been idle for too long", () => a.client.hasEnded);
  });

  it("borrow again when one dies while it is made ready, where its PostgreSQL goes on", async () => {
    const [a, b] = [world.connect(), world.connect()];
    await a.client.ask(encodeQuery("select nextval('s')"));
    world.postgres.onText = (text) => (text === "DISCARD SEQUENCES" ? "dies" : "ok");
    expect(await b.client.ask(encodeQuery("select 1"))).toBe("C Z");
    expect(world.postgres.log.at(-1)).toBe("2: select 1");
  });

  it("are hung up on where it hangs, and have it again once it answers: what had no answer is run again", async () => {
    const [a, b] = [world.connect(), world.connect()];
    const go = world.holds("select 5");
    a.client.send(encodeQuery("select 5"));
    await eventually("it runs", () => world.ran("select 5") === 1);
    const [hung] = world.postgres.sockets;
    world.hang(a, b);
    await eventually("it is hung up on", () => hung?.readableEnded === true || hung?.destroyed);
    b.client.send(encodeQuery("select 6"));
    expect(world.ran("select 6")).toBe(0);
    // Late: nobody hears it.
    go();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(world.ran("select 5")).toBe(1);
    world.isSilent = false;
    expect(await a.client.hear()).toBe("C Z");
    expect(await b.client.hear()).toBe("C Z");
    expect([world.ran("select 5"), world.ran("select 6")]).toEqual([2, 1]);
  });

  it("wait no longer than for one that is gone", async () => {
    world.holdTimeoutMs = 100;
    const a = world.connect();
    const go = world.holds("select 5");
    a.client.send(encodeQuery("select 5"));
    await eventually("it runs", () => world.ran("select 5") === 1);
    world.hang(a);
    expect(await a.client.hear()).toBe("57P03");
    go();
  });

  it("go elsewhere when one dies with its PostgreSQL", async () => {
    world.isServing = false;
    world.holdTimeoutMs = 100;
    const [a, b] = [world.connect(), world.connect()];
    await a.client.ask(encodeQuery("select nextval('s')"));
    world.postgres.onText = () => "dies";
    // There is no other here.
    expect(await b.client.ask(encodeQuery("select 1"))).toBe("57P03");
  });

  it("are not closed by borealis.on_failover = disconnect before the cluster knows of the loss: their clients come back at once", async () => {
    let isKnown = (): void => undefined;
    world.lossKnown = new Promise((resolve) => {
      isKnown = resolve;
    });
    const a = world.connect();
    await a.client.ask(encodeQuery("SET borealis.on_failover = disconnect"));
    world.postgres.onText = () => "dies";
    a.client.send(encodeQuery("select 5"));
    await eventually("its server dies", () => a.session.line.closed);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(a.client.hasEnded).toBe(false);
    isKnown();
    await eventually("it is closed", () => a.client.hasEnded);
  });

  it("are closed at once where their server has said why it ends: nothing is lost then", async () => {
    world.lossKnown = new Promise(() => undefined);
    const a = world.connect();
    await a.client.ask(encodeQuery("SET borealis.on_failover = disconnect"));
    world.postgres.onText = () => "ends";
    expect(await a.client.ask(encodeQuery("select 5"))).toBe("57P05");
    await eventually("it is closed", () => a.client.hasEnded);
  });

  it("get another one where the last cannot be cleaned", async () => {
    const [a, b] = [world.connect(), world.connect()];
    await a.client.ask(encodeQuery("select nextval('s')"));
    world.postgres.onText = (text) => (text === "DISCARD SEQUENCES" ? "42501" : "ok");
    expect(await b.client.ask(encodeQuery("select 1"))).toBe("C Z");
    expect(world.postgres.log.at(-1)).toBe("2: select 1");
  });

  it.each(["42702", "42501", "55P03"])(
    "do without a statement that cannot be made again, up to its use: %s",
    async (code) => {
      const [a, b] = [world.connect(), world.connect()];
      await b.client.ask(encodeParse("p", "select 7"), encodeSync());
      await a.client.ask(encodeQuery("select 1"));
      world.postgres.onText = (text) => (text === "parse select 7" ? code : "ok");
      expect(await b.client.ask(encodeQuery("select 2"))).toBe("C Z");
      const use = [encodeBind("", "p"), encodeExecute(""), encodeSync()];
      expect(await b.client.ask(...use)).toBe("26000 Z");
      await a.client.ask(encodeQuery("select 1"));
      world.postgres.onText = () => "ok";
      expect(await b.client.ask(...use)).toBe("2 C Z");
    },
  );

  it("can be cancelled while one is made ready, and go on", async () => {
    const [a, b] = [world.connect(), world.connect()];
    await b.client.ask(encodeParse("p", "select 7"), encodeSync());
    await a.client.ask(encodeQuery("select 1"));
    const go = world.holds("parse select 7");
    b.client.send(encodeQuery("select 2"));
    await eventually("it is made ready", () => b.session.survivor.isPreparing);
    const ended: number[] = [];
    const admin = {
      terminate: (_: unknown, pid: number) => Promise.resolve(void ended.push(pid)),
    } as unknown as AdminSessions;
    await cancelSession(b.session, { admin, clock: realClock, logger });
    expect(await b.client.hear()).toBe("57014 Z");
    expect(ended).toEqual([1]);
    world.postgres.onText = () => "ok";
    expect(await b.client.ask(encodeQuery("select 3"))).toBe("C Z");
    expect(world.postgres.log.at(-1)).toBe("2: select 3");
    expect(world.ran("select 2")).toBe(0);
    go();
  });

  it("are asked again what they have after an answer that failed, and not for ever", async () => {
    await open(new World("perhaps"));
    const [a, b] = [world.connect(), world.connect()];
    let failures = 1;
    world.postgres.onText = (text) =>
      text.includes("json_build_object") && failures-- > 0 ? "57014" : "ok";
    await a.client.ask(encodeQuery("select f()"));
    b.client.send(encodeQuery("select 1"));
    // The answers here are none: the third in vain is the last.
    await eventually("it was asked", () => world.ran("json_build_object") >= 3);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(world.ran("json_build_object")).toBe(3);
    expect(a.session.tenancy.whyKept()).toBeDefined();
  });
});

describe("the size of a pool", () => {
  it("is asked for until it is known", async () => {
    const timers: (() => void)[] = [];
    const clock: Clock = {
      ...realClock,
      after: (_, fn) => {
        timers.push(fn);
        return { cancel() {} };
      },
    };
    const answers = [Number.NaN, 40];
    const pools = new Pools({
      clock,
      logger,
      counters: new SessionCounters(),
      settings: { maxConnectionsPercent: 50, borrowTimeoutMs: 1_000, idleTimeoutMs: 60_000 },
      connectionsOf: () => {
        const answer = answers.shift();
        return answer === undefined ? Promise.reject(new Error("again?")) : Promise.resolve(answer);
      },
    });
    const address = { socketDir: "nowhere", port: 1, major: 18 };
    const target = {
      instanceId: instanceId("instance-1"),
      role: "writer",
      incarnation: "1",
      address,
    } as const;
    const borrowing = {
      target,
      key: "k",
      parameters: [],
      isWanted: () => false,
      hasCustom: () => false,
    };
    await pools.borrow(borrowing);
    expect(answers).toEqual([40]);
    for (let round = 0; round < 3; round++) {
      for (const fn of timers.splice(0)) fn();
      await new Promise((resolve) => setImmediate(resolve));
      expect(answers).toEqual([]);
    }
    pools.close();
  });
});
