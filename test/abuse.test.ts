/** Clients that misbehave harm nobody but themselves. */
import { randomBytes } from "node:crypto";
import { connect, type Socket } from "node:net";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestCluster, until } from "./helpers/cluster.ts";

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await TestCluster.create({ readers: 1 });
});
afterAll(() => cluster.destroy());

function raw(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: "127.0.0.1", port });
    socket.once("connect", () => resolve(socket));
    socket.once("error", reject);
  });
}

function startupPacket(parameters: Record<string, string>): Buffer {
  const body = Buffer.from(`${Object.entries(parameters).flat().join("\0")}\0\0`);
  const head = Buffer.alloc(8);
  head.writeUInt32BE(body.length + 8, 0);
  head.writeUInt32BE(196_608, 4);
  return Buffer.concat([head, body]);
}

async function expectServing(): Promise<void> {
  expect((await cluster.query("SELECT 1 AS one")).rows).toEqual([{ one: 1 }]);
  expect((await cluster.query("SELECT 2 AS two", "reader")).rows).toEqual([{ two: 2 }]);
}

/** Resident memory of the proxy in bytes. */
async function proxyMemory(): Promise<number> {
  const { readFileSync } = await import("node:fs");
  const pid = (await cluster.pids()).get("proxy") ?? 0;
  const line = readFileSync(`/proc/${pid}/status`, "utf8").match(/VmRSS:\s+(\d+) kB/);
  return Number(line?.[1] ?? 0) * 1024;
}

describe("garbage", () => {
  const garbage: [string, Buffer][] = [
    ["random bytes", randomBytes(4096)],
    ["zeros", Buffer.alloc(4096)],
    ["a start-up packet that claims 2 GiB", Buffer.from([0x7f, 0xff, 0xff, 0xff, 0, 3, 0, 0])],
    ["a start-up packet that claims 4 bytes", Buffer.from([0, 0, 0, 4])],
    ["HTTP", Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n")],
    [
      "an SSLRequest and plain text behind it",
      Buffer.concat([
        Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]),
        startupPacket({ user: "postgres" }),
      ]),
    ],
    ["a start-up packet without a user", startupPacket({ database: "postgres" })],
    [
      "a query before logging in",
      Buffer.concat([startupPacket({ user: "postgres" }), Buffer.from("Q\0\0\0\rSELECT 1\0")]),
    ],
  ];
  const ports = (): number[] => [0, 1, 11, 12, 3000].map((offset) => cluster.port + offset);

  it.each(garbage)(
    "%s on every port ends that connection and nothing else",
    async (_name, bytes) => {
      const pid = (await cluster.pids()).get("proxy");
      for (const port of ports()) {
        const socket = await raw(port);
        const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
        socket.on("error", () => undefined);
        socket.resume();
        socket.write(bytes);
        socket.end();
        await closed;
      }
      await expectServing();
      expect((await cluster.pids()).get("proxy")).toBe(pid);
    },
  );

  it("sent byte by byte, a good start-up packet still works", async () => {
    const socket = await raw(cluster.port);
    const answer = new Promise<Buffer>((resolve) => socket.once("data", resolve));
    for (const byte of startupPacket({ user: "postgres", database: "postgres" }))
      socket.write(Buffer.from([byte]));
    expect(String.fromCharCode((await answer)[0] ?? 0)).toBe("R");
    socket.destroy();
  });
});

describe("many and large", () => {
  it("two hundred connections at once all work", async () => {
    const clients = await Promise.all(Array.from({ length: 200 }, () => cluster.client()));
    const answers = await Promise.all(
      clients.map((client, n) => client.query("SELECT $1::int AS n", [n])),
    );
    expect(answers.map((answer) => answer.rows[0].n)).toEqual(
      Array.from({ length: 200 }, (_, n) => n),
    );
    await Promise.all(clients.map((client) => client.end()));
  });

  it("a connection too many is told so in PostgreSQL's words, and the rest go on", async () => {
    const clients: pg.Client[] = [];
    let refused: unknown;
    while (refused === undefined && clients.length < 400) {
      const batch = await Promise.allSettled(Array.from({ length: 50 }, () => cluster.client()));
      for (const one of batch) {
        if (one.status === "fulfilled") clients.push(one.value);
        else refused ??= one.reason;
      }
    }
    expect(refused).toMatchObject({ code: "53300" });
    expect(String(refused)).toMatch(
      /too many clients already|remaining connection slots are reserved/,
    );
    expect((await cluster.status()).cluster.state).toBe("available");
    await Promise.all(clients.map((client) => client.end()));
    await until(
      "there is room again",
      async () => (await cluster.query("SELECT 1")).rows.length === 1,
    );
  });

  it("a value of 100 MB goes in and comes out, and the proxy does not keep it", async () => {
    const before = await proxyMemory();
    const client = await cluster.client();
    await client.query("CREATE TABLE big (v bytea)");
    const value = randomBytes(100 * 1024 * 1024);
    await client.query("INSERT INTO big VALUES ($1)", [value]);
    const { rows } = await client.query("SELECT v FROM big");
    expect(value.equals(rows[0].v)).toBe(true);
    await client.query("DROP TABLE big");
    await client.end();
    expect((await proxyMemory()) - before).toBeLessThan(150 * 1024 * 1024);
  });

  it("a client that never reads stalls only itself", async () => {
    const before = await proxyMemory();
    const client = await cluster.client("writer", { ssl: false });
    const stream = (client as unknown as { connection: { stream: Socket } }).connection.stream;
    stream.pause();
    void client
      .query("SELECT repeat('x', 1000) FROM generate_series(1, 1000000)")
      .catch(() => undefined);
    await until("its backend waits for it", async () => {
      const { rows } = await cluster.query(
        "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'ClientWrite'",
      );
      return rows.length > 0;
    });
    for (let n = 0; n < 20; n++) await expectServing();
    expect((await proxyMemory()) - before).toBeLessThan(100 * 1024 * 1024);
    stream.destroy();
    await until("its backend is gone", async () => {
      const { rows } = await cluster.query(
        "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'ClientWrite'",
      );
      return rows.length === 0;
    });
  });
});
