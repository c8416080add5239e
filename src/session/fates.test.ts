/** Transactions of a server process that has ended alone, while its writer lives on. */
import { describe, expect, it } from "vitest";
import { HeldVdl, PlainTopology } from "../../test/helpers/endpoints.ts";
import { eventually } from "../../test/helpers/eventually.ts";
import { instanceId } from "../base/ids.ts";
import { openLogger, realClock } from "../io/index.ts";
import type { AdminSessions } from "./admin-shell.ts";
import type { Fate, WriterLife } from "./fate.ts";
import { AdminFates } from "./fates-shell.ts";
import type { Target } from "./topology.ts";

const xid = 77n;
const logger = openLogger({ file: undefined, process: "test" });
const life = (incarnation: string, epoch: number, cutoff: bigint): WriterLife => ({
  incarnation,
  epoch,
  cutoff,
  postmaster: `pg of ${incarnation}`,
});
const targetOf = (incarnation: string): Target => ({
  instanceId: instanceId("instance-1"),
  role: "writer",
  address: { socketDir: "nowhere", port: 1, major: 18 },
  incarnation,
});

class World {
  readonly writer = targetOf("a");
  readonly topology = new PlainTopology(this.writer);
  readonly vdl = new HeldVdl();
  /** What the next questions are answered with; the last of them again and again. */
  readonly rows: (readonly (string | null)[])[];
  asked = 0;
  private readonly over = new AbortController();
  private readonly fates: AdminFates;

  constructor(...statuses: readonly string[]) {
    this.rows = statuses.map((status) => [status, "pg of a", "f"]);
    this.topology.known = [life("a", 1, 3n)];
    this.vdl.isFrozen = true;
    const admin = {
      query: () => {
        const row = this.rows[Math.min(this.asked++, this.rows.length - 1)];
        return Promise.resolve({ rows: [row] });
      },
    } as unknown as AdminSessions;
    const { topology, vdl } = this;
    const options = { topology, awaitDurable: vdl.awaitDurable, clock: realClock, logger };
    this.fates = new AdminFates(options, admin);
  }

  ended(endsPrepared = false): Promise<Fate> {
    return this.fates.ofEnded(this.writer, { xid, endsPrepared }, this.over.signal);
  }
  untilItWaits(times = 1): Promise<unknown> {
    return eventually("it waits for the quorum", () => this.vdl.waits.length === times);
  }
  abort(): void {
    this.over.abort();
  }
}

describe("the fate of what a server process was committing that ended alone", () => {
  it("is committed once that is durable, and the same PostgreSQL says so again", async () => {
    const world = new World("committed");
    const fate = world.ended();
    await world.untilItWaits();
    expect(world.asked).toBe(1);
    world.vdl.advance();
    expect(await fate).toBe("committed");
    expect(world.asked).toBe(2);
  });

  it("is asked for again where another PostgreSQL has answered behind the wait", async () => {
    const world = new World("committed");
    world.rows.push(["committed", "pg of somebody", "f"], ["aborted", "pg of a", "f"]);
    const fate = world.ended();
    await world.untilItWaits();
    world.vdl.advance();
    expect(await fate).toBe("aborted");
  });

  it("is aborted without waiting for anything, unless it was to end a prepared one", async () => {
    expect(await new World("aborted").ended()).toBe("aborted");
    const world = new World("aborted");
    const fate = world.ended(true);
    await world.untilItWaits();
    world.vdl.advance();
    expect(await fate).toBe("aborted");
  });

  it("is told by who comes after a writer that is frozen, and never says what is durable", async () => {
    const world = new World("committed");
    const fate = world.ended();
    await world.untilItWaits();
    world.topology.known = [life("a", 1, 3n), life("b", 2, 50n)];
    world.topology.set({ writer: targetOf("b"), reader: undefined });
    expect(await fate).toBe("neverHappened");
  });

  it("is nobody's any more when its session is over", async () => {
    const world = new World("committed");
    const fate = world.ended();
    await world.untilItWaits();
    world.abort();
    expect(await fate).toBe("unknown");
  });
});
