/** Mutual TLS between processes: strangers are turned away before a byte of theirs reaches the protocol. */
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectSecure } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type ClusterCredential,
  type ClusterRole,
  type Connection,
  dial,
  type Listener,
  listenTls,
  roleName,
  type TlsRefusal,
} from "../src/io/index.ts";
import {
  makeAuthority,
  makeCertificate,
  openCredentials,
} from "../src/main/cluster-certificates.ts";
import { eventually } from "./helpers/eventually.ts";

const roles: readonly ClusterRole[] = ["storage-node", "instance", "control-plane"];
const folder = mkdtempSync(join(tmpdir(), "borealis-link-tls-"));
let credentials: ReadonlyMap<ClusterRole, ClusterCredential>;
let listener: Listener;
let arrived: Connection[] = [];
let refusals: TlsRefusal[] = [];

beforeAll(async () => {
  credentials = await openCredentials(folder, roles);
  listener = await listenTls(
    { kind: "tls", host: "127.0.0.1", port: 0 },
    (connection) => {
      arrived.push(connection);
      connection.onData((chunk) => connection.write(chunk));
    },
    {
      credential: of("storage-node"),
      roles: ["instance", "storage-node"],
      onRefused: (refusal) => refusals.push(refusal),
      handshakeTimeoutMs: 500,
    },
  );
});
afterAll(async () => {
  await listener.close();
  for (const connection of arrived) connection.destroy();
  rmSync(folder, { recursive: true });
});

function of(role: ClusterRole): ClusterCredential {
  const found = credentials.get(role);
  if (!found) throw new Error(role);
  return found;
}

function port(): number {
  return listener.address.kind === "unix" ? 0 : listener.address.port;
}

/** Connects as told; gives all that comes back until the connection is gone. */
async function knock(open: () => Socket): Promise<string> {
  arrived = [];
  refusals = [];
  const socket = open();
  let heard = "";
  socket.on("data", (chunk) => (heard += String(chunk)));
  socket.on("error", () => undefined);
  await new Promise<void>((resolve) => socket.once("close", () => resolve()));
  await eventually("the refusal is counted", () => refusals.length > 0);
  return heard;
}

/** TLS with whatever certificate, trusting everybody. */
function secure(identity: { cert?: string; key?: string }, more = {}): () => Socket {
  return () => {
    const options = { host: "127.0.0.1", port: port(), servername: roleName("storage-node") };
    const socket = connectSecure({ ...options, ...identity, rejectUnauthorized: false, ...more });
    socket.once("secureConnect", () => socket.write("BOREALIS"));
    return socket;
  };
}

describe("a listener for the cluster's processes", () => {
  it("hands on who has a certificate of the cluster for a role that may come in", async () => {
    arrived = [];
    for (const role of ["instance", "storage-node"] as const) {
      const connection = await dial(listener.address, {
        tls: { credential: of(role), role: "storage-node" },
      });
      const echo = new Promise<string>((resolve) =>
        connection.onData((chunk) => resolve(String(chunk))),
      );
      connection.write(Buffer.from("hello"));
      expect(await echo).toBe("hello");
      connection.destroy();
    }
    expect(arrived.length).toBe(2);
  });

  it("turns away a plain TCP client, and garbage", async () => {
    for (const bytes of ["BOREALIS", "\u0016\u0003\u0001 garbage", "x".repeat(100_000)]) {
      await knock(() => {
        const socket = connect({ host: "127.0.0.1", port: port() });
        socket.once("connect", () => socket.write(bytes));
        return socket;
      });
      expect(arrived).toEqual([]);
      expect(refusals.map(({ reason }) => reason)).toEqual(["handshake"]);
    }
  });

  it("turns away who says nothing, or hardly anything, in time", async () => {
    const silent = (): Socket => connect({ host: "127.0.0.1", port: port() });
    await knock(silent);
    expect(refusals).toMatchObject([{ reason: "handshake", why: expect.stringMatching(/time/i) }]);
    await knock(() => {
      const socket = silent();
      // The first bytes of a handshake, one by one.
      const hello = Buffer.from("16030100ff010000fb0303", "hex");
      let at = 0;
      const timer = setInterval(() => socket.write(hello.subarray(at, ++at)), 100);
      socket.once("close", () => clearInterval(timer));
      return socket;
    });
    expect(arrived).toEqual([]);
    expect(refusals.length).toBe(1);
  });

  it("lets its own in past any crowd of strangers", async () => {
    refusals = [];
    const crowd = Array.from({ length: 300 }, () => {
      const socket = connect({ host: "127.0.0.1", port: port() });
      socket.on("error", () => undefined);
      return socket;
    });
    await eventually("the crowd is too big", () => refusals.length > 0);
    const tls = { credential: of("instance"), role: "storage-node" } as const;
    const connection = await dial(listener.address, { tls });
    const echo = new Promise<string>((resolve) =>
      connection.onData((chunk) => resolve(String(chunk))),
    );
    connection.write(Buffer.from("hello"));
    expect(await echo).toBe("hello");
    connection.destroy();
    await eventually("everyone of the crowd is closed", () => crowd.every((one) => one.closed));
    expect(refusals.length).toBe(300);
  });

  it("turns away TLS without a certificate, below 1.3, of another authority, expired or of another role", async () => {
    const stranger = await makeAuthority();
    const foreign = await makeCertificate(stranger, "instance");
    const authority = {
      cert: readFileSync(join(folder, "ca.crt"), "utf8"),
      key: readFileSync(join(folder, "ca.key"), "utf8"),
    };
    const expired = await makeCertificate(authority, "instance", new Date(Date.now() - 60_000));
    const cases: [string, () => Socket, string][] = [
      ["no certificate", secure({}), "handshake"],
      ["TLS 1.2", secure(of("instance"), { maxVersion: "TLSv1.2" }), "handshake"],
      ["another authority", secure(toIdentity(foreign)), "handshake"],
      ["expired", secure(toIdentity(expired)), "handshake"],
      ["another role", secure(of("control-plane")), "role"],
      ["self-signed", secure(toIdentity(stranger)), "handshake"],
    ];
    for (const [name, open, reason] of cases) {
      expect(await knock(open), name).toBe("");
      expect(arrived, name).toEqual([]);
      expect(
        refusals.map((one) => one.reason),
        name,
      ).toEqual([reason]);
    }
  });

  it("is not believed by our side when it is a stranger, or has another role", async () => {
    const stranger = await makeAuthority();
    const posing = { ca: of("instance").ca, ...(await makeCertificate(stranger, "storage-node")) };
    for (const credential of [posing, of("instance")]) {
      let reached = 0;
      const other = await listenTls(
        { kind: "tls", host: "127.0.0.1", port: 0 },
        (connection) => {
          connection.onData(() => reached++);
        },
        { credential, roles, onRefused: () => undefined },
      );
      const tls = { credential: of("instance"), role: "storage-node" } as const;
      await expect(dial(other.address, { tls })).rejects.toThrow(/cannot connect/);
      expect(reached).toBe(0);
      await other.close();
    }
  });

  it("is not asked without a certificate of our own", async () => {
    await expect(dial(listener.address)).rejects.toThrow(/asks for a certificate of the cluster/);
  });
});

function toIdentity({ cert, key }: { cert: string; key: string }) {
  return { cert, key };
}

describe("the cluster's certificates", () => {
  it("are for their owner's eyes, the same at the next start, and made again when lost", async () => {
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    expect(statSync(join(folder, "ca.key")).mode & 0o777).toBe(0o600);
    expect(await openCredentials(folder, roles)).toEqual(credentials);
    rmSync(join(folder, "instance.crt"));
    const again = await openCredentials(folder, roles);
    expect(again.get("storage-node")).toEqual(credentials.get("storage-node"));
    expect(again.get("instance")?.cert).not.toBe(of("instance").cert);
    expect(again.get("instance")?.ca).toBe(of("instance").ca);
  });
});
