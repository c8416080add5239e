import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { eventually } from "../../test/helpers/eventually.ts";
import { BorealisError } from "../base/errors.ts";
import { instanceId } from "../base/ids.ts";
import { realClock, sleep } from "../io/index.ts";
import {
  encodeAuthenticationOk,
  encodeBackendKey,
  encodeError,
  encodeReadyForQuery,
  pgSocketPath,
  transactionState,
} from "../wire/index.ts";
import { type BackendStart, startBackend } from "./backend-shell.ts";
import type { Target } from "./topology.ts";

const welcome = Buffer.concat([
  encodeAuthenticationOk(),
  encodeBackendKey({ pid: 7, key: Buffer.alloc(4) }),
  encodeReadyForQuery(transactionState.idle),
]);

const nothing = Buffer.alloc(0);

describe("startBackend", () => {
  let dir: string;
  const servers: Server[] = [];
  /** Ports where somebody has come. */
  const asked = new Set<number>();

  beforeEach(() => {
    asked.clear();
    dir = mkdtempSync(join(tmpdir(), "borealis-backend-"));
  });
  afterEach(async () => {
    for (const server of servers.splice(0))
      await new Promise((resolve) => server.close(() => resolve(undefined)));
    rmSync(dir, { recursive: true, force: true });
  });

  /** A PostgreSQL that says this to whoever comes, and hangs up unless that was a welcome. */
  async function serve(port: number, words: Buffer): Promise<Target> {
    const address = { socketDir: dir, port, major: 18 };
    const server = createServer((socket) => {
      socket.on("error", () => undefined);
      socket.once("data", () => {
        asked.add(port);
        if (words === nothing) return;
        if (words === welcome) socket.write(words);
        else socket.end(words);
      });
    });
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(pgSocketPath(address), resolve));
    const id = instanceId(`instance-${port}`);
    return { instanceId: id, role: "reader", address, incarnation: `${id}.1` };
  }

  /** Goes to the first of these, and at each further attempt to the one behind it; the last one again and again. */
  function startAt(
    targets: readonly Target[],
    more: Partial<Parameters<typeof startBackend>[0]> = {},
  ): Promise<BackendStart> {
    let attempts = 0;
    return startBackend({
      clock: realClock,
      parameters: [],
      client: { closed: false },
      holdTimeoutMs: 30_000,
      isWanted: () => attempts < 10,
      findTarget: () => targets[Math.min(attempts++, targets.length - 1)],
      untilChange: () => sleep(realClock, 1),
      mayLeave: () => false,
      isSilent: ({ instanceId: id }) => id === "instance-9",
      clientKey: Buffer.alloc(4),
      ...more,
    });
  }

  const fatal = (code: string): Buffer => encodeError(new BorealisError(code, "not now"), "FATAL");

  it.each([
    ["starts", fatal("57P03")],
    ["shuts down", fatal("57P01")],
    ["has lost one of its processes", fatal("57P02")],
    ["shuts down behind the login", Buffer.concat([encodeAuthenticationOk(), fatal("57P01")])],
  ])("goes to another server when one %s", async (_, words) => {
    const targets = [await serve(1, words), await serve(2, welcome)];
    const start = await startAt(targets);
    expect(start).toMatchObject({ kind: "ready", target: targets[1] });
    if (start.kind === "ready") start.connection.destroy();
  });

  it("goes to another server when the cluster says of one that it hangs, though that has answered", async () => {
    const targets = [await serve(9, welcome), await serve(2, welcome)];
    const start = await startAt(targets);
    expect(start).toMatchObject({ kind: "ready", target: targets[1] });
    if (start.kind === "ready") start.connection.destroy();
  });

  it("gives one up that is being opened at once when the cluster says so", async () => {
    const [mute, other] = [await serve(1, nothing), await serve(2, welcome)];
    let [isSilent, tell] = [false, (): void => undefined];
    let listening = 0;
    const onChange = (fn: () => void) => {
      listening++;
      tell = fn;
      return () => listening--;
    };
    const start = startAt([mute, other], {
      onChange,
      isSilent: ({ instanceId: id }) => isSilent && id === "instance-1",
      // It would be noticed without us only then.
      mayLeave: () => {
        throw new Error("it was waited for");
      },
    });
    await eventually("it is asked", () => asked.has(1));
    tell();
    isSilent = true;
    tell();
    expect(await start).toMatchObject({ kind: "ready", target: other });
    expect(listening).toBe(0);
    const ready = await start;
    if (ready.kind === "ready") ready.connection.destroy();
  });

  it("looks again whom to go to when it has waited for its turn", async () => {
    const [hung, other] = [await serve(1, welcome), await serve(2, welcome)];
    let isSilent = false;
    const start = await startAt([], {
      findTarget: () => (isSilent ? other : hung),
      inTurn: (work) => {
        isSilent = true;
        return work();
      },
    });
    expect(start).toMatchObject({ kind: "ready", target: other });
    expect(asked.has(1)).toBe(false);
    if (start.kind === "ready") start.connection.destroy();
  });

  it.each(["28000", "3D000", "53300", "57P04"])(
    "tells of a refusal that is meant: %s",
    async (code) => {
      const targets = [await serve(1, fatal(code)), await serve(2, welcome)];
      expect(await startAt(targets)).toMatchObject({ kind: "refused", reason: code });
    },
  );
});
