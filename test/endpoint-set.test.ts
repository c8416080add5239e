/** Endpoints that come and go while the others serve, over a real PostgreSQL. */
import { createServer, type Server } from "node:net";
import type pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { instanceId } from "../src/base/ids.ts";
import { openLogger, realClock } from "../src/io/index.ts";
import { type Endpoint, EndpointSet } from "../src/session/index.ts";
import { connectTo, openEndpoints, type TestEndpoints } from "./helpers/endpoints.ts";
import { eventually } from "./helpers/eventually.ts";
import {
  copyEmbeddedEngine,
  findEngines,
  startStockPostgres,
  type StockPostgres,
} from "./helpers/stock-postgres.ts";

const embedded = copyEmbeddedEngine();
const engine = embedded ?? findEngines()[0];

function endpointAt(port: number, id = "instance-1"): Endpoint {
  const address = { kind: "tcp", host: "127.0.0.1", port } as const;
  return { id, type: "instance", instanceId: instanceId(id), address };
}

/** A port that nobody has, and somebody who has it for now. */
function squat(): Promise<{ port: number; server: Server }> {
  return new Promise((resolve) => {
    const server = createServer();
    server.listen({ host: "127.0.0.1", port: 0 }, () => {
      const address = server.address();
      if (typeof address === "object" && address) resolve({ port: address.port, server });
    });
  });
}

function leave(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}

function untilOpen(port: number): Promise<pg.Client> {
  return eventually(`port ${port} is open`, () => connectTo(port).catch(() => undefined));
}

function ending(client: pg.Client): Promise<{ code?: string; message: string }> {
  return new Promise((resolve) => client.once("error", resolve));
}

describe.runIf(engine)("a set of endpoints", () => {
  let stock: StockPostgres;
  let ends: TestEndpoints;
  let set: EndpointSet;
  let tries = 0;
  /** How the endpoints were, at each change. */
  const told: string[] = [];

  beforeAll(async () => {
    if (!engine) return;
    stock = await startStockPostgres(engine);
    await stock.query("create role postgres superuser login password 'secret'");
    ends = await openEndpoints(stock, { limits: { holdTimeoutMs: 60_000 } });
    const logger = openLogger({ file: undefined, process: "test" });
    const server = {
      open: (endpoint: Endpoint) => {
        tries++;
        return ends.server.open(endpoint);
      },
      shut: (id: string) => ends.server.shut(id),
    };
    const onChange = (): void => void told.push(set.states.map(({ kind }) => kind).join());
    set = new EndpointSet({ server, opened: [], clock: realClock, logger, onChange });
  });
  afterAll(async () => {
    await set.close();
    await ends.close();
    await stock.stop();
    embedded?.remove();
  });

  it("opens what is wanted, also when somebody has the port for a while", async () => {
    const { port, server } = await squat();
    set.follow([endpointAt(port)]);
    await eventually("it was tried", () => tries > 0);
    expect(ends.server.addressOf("instance-1")).toBe(undefined);
    await eventually("it is told", () => told.at(-1) === "shut");
    expect(set.states).toMatchObject([{ kind: "shut", error: { code: "EADDRINUSE" } }]);
    await leave(server);
    const client = await untilOpen(port);
    expect((await client.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
    await client.end();
    expect(told).toEqual(["shut", "open"]);
  });

  it("ends the sessions of one that goes, and no others", async () => {
    const { port, server } = await squat();
    await leave(server);
    set.follow([endpointAt(port)]);
    const client = await untilOpen(port);
    const other = await connectTo(ends.port);
    const told = ending(client);
    set.follow([]);
    expect(await told).toMatchObject({
      code: "57P01",
      message: "terminating connection because the endpoint instance-1 is no more",
    });
    await expect(connectTo(port)).rejects.toThrow(/ECONNREFUSED/);
    expect((await other.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
    await other.end();
  });

  it("tells who waits there for an instance, at once", async () => {
    const { port, server } = await squat();
    await leave(server);
    // Nobody is instance-2.
    set.follow([endpointAt(port, "instance-2")]);
    await eventually("it is open", () => ends.server.addressOf("instance-2") !== undefined);
    let looks = 0;
    const { topology } = ends;
    const find = topology.instance.bind(topology);
    topology.instance = (id) => {
      if (id === "instance-2") looks++;
      return find(id);
    };
    const waiting = connectTo(port);
    waiting.catch(() => undefined);
    await eventually("it waits", () => looks > 1);
    set.follow([]);
    await expect(waiting).rejects.toThrow("the endpoint instance-2 is no more");
  });

  it("has an endpoint at a further address, too, and PostgreSQL is told who came in there", async () => {
    const [first, second] = [await squat(), await squat()];
    await leave(first.server);
    const own = endpointAt(first.port);
    const address = { kind: "tcp", host: "127.0.0.1", port: second.port } as const;
    set.follow([own, { ...own, address, loopback: "127.0.0.11" }]);
    const client = await untilOpen(first.port);
    // One of the two has its port.
    await eventually("it is told", () => told.at(-1) === "open,shut");
    await leave(second.server);
    const further = await untilOpen(second.port);
    const sql = "select current_setting('borealis.endpoint_address', true) as at";
    expect((await client.query(sql)).rows[0].at ?? "").toBe("");
    expect((await further.query(sql)).rows[0].at).toBe("127.0.0.11");
    set.follow([own]);
    expect(await ending(further)).toMatchObject({ code: "57P01" });
    expect((await client.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
    await client.end();
  });

  it("opens one anew whose port is another now", async () => {
    const [first, second] = [await squat(), await squat()];
    await leave(first.server);
    await leave(second.server);
    set.follow([endpointAt(first.port)]);
    await (await untilOpen(first.port)).end();
    set.follow([endpointAt(second.port)]);
    await (await untilOpen(second.port)).end();
    await expect(connectTo(first.port)).rejects.toThrow(/ECONNREFUSED/);
  });
});
