/** Control lines between processes, on a real socket. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { connectRpc, type RpcServer, serveRpc } from "../src/io/index.ts";
import { makeFolder } from "./helpers/cluster.ts";

describe("following a state over a control line", () => {
  const folder = makeFolder();
  afterAll(() => rmSync(folder, { recursive: true }));

  it("an answer that was overtaken by a change does not bring the old state back", async () => {
    const address = { kind: "unix" as const, path: join(folder, "rpc.sock") };
    const server: RpcServer = await serveRpc(address, {
      state: () => {
        // Worked out, then something changes and is told, then the answer is sent.
        server.broadcast("changed", "new");
        return "old";
      },
    });
    const client = await connectRpc(address);
    const seen: unknown[] = [];
    const source = { method: "state", event: "changed", timeoutMs: 5_000 };
    await client.follow(source, (state) => seen.push(state));
    expect(seen).toEqual(["new"]);
    client.close();
    await server.close();
  });
});
