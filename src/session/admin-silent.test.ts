/** The endpoint's own sessions, on a server that accepts and says nothing. */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { eventually } from "../../test/helpers/eventually.ts";
import { instanceId } from "../base/ids.ts";
import { openLogger, realClock } from "../io/index.ts";
import { pgSocketPath } from "../wire/index.ts";
import { AdminSessions } from "./admin-shell.ts";
import type { Target, Topology } from "./topology.ts";

const dir = mkdtempSync(join(tmpdir(), "borealis-mute-"));
const address = { socketDir: dir, port: 5432, major: 18 };
const target: Target = {
  instanceId: instanceId("instance-2"),
  role: "reader",
  address,
  incarnation: "1",
};
const sockets: Socket[] = [];
const mute = createServer((socket) => {
  sockets.push(socket);
  socket.resume();
  socket.on("error", () => undefined);
});
let isSilent = false;

beforeAll(() => new Promise<void>((resolve) => mute.listen(pgSocketPath(address), resolve)));
beforeEach(() => {
  isSilent = false;
  sockets.length = 0;
});
afterAll(async () => {
  await new Promise((resolve) => mute.close(resolve));
  rmSync(dir, { recursive: true, force: true });
});

describe.each([
  ["a question", (admin: AdminSessions) => admin.query(target, "SELECT 1")],
  ["a look into the catalogs", (admin: AdminSessions) => admin.findTraits(target, "postgres")],
] as const)("%s of one that is being opened", (_, ask) => {
  it("is given up once the cluster says that it answers nothing, and not asked again", async () => {
    const topology = { isSilent: () => isSilent, hasEnded: () => false } as unknown as Topology;
    const logger = openLogger({ file: undefined, process: "test" });
    const admin = new AdminSessions({ topology, clock: realClock, logger });
    const asked = expect(ask(admin)).rejects.toMatchObject({ code: "08006" });
    await eventually("it is dialled", () => sockets.length === 1);
    admin.hangUp(() => false);
    expect(sockets[0]?.destroyed).toBe(false);
    isSilent = true;
    admin.hangUp(() => isSilent);
    await asked;
    await eventually("it is hung up on", () => sockets[0]?.readableEnded || sockets[0]?.destroyed);
    await expect(ask(admin)).rejects.toMatchObject({ code: "08006" });
    expect(await admin.isAlive(target)).toBe(false);
    expect(sockets).toHaveLength(1);
    await admin.close();
  });
});
