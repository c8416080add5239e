/** Who follows a node's log is sent it as soon as it may be shown, not when the node's clock next ticks. */
import { join } from "node:path";
import { expect, it } from "vitest";
import { advance, type Lsn } from "../src/base/lsn.ts";
import { type Clock, realClock, realDisk } from "../src/io/index.ts";
import type * as StorageNodeRoom from "../src/storage-node/index.ts";
import { builtDir } from "./helpers/compiled.ts";
import { LocalNodes } from "./helpers/storage-nodes.ts";
import { base, patiently } from "./helpers/storage-process.ts";
import { isThorough } from "./helpers/thorough.ts";

/** Nothing that waits for a time happens: a wake-up that went missing stays so. */
const stillClock: Clock = { ...realClock, after: () => ({ cancel: () => undefined }) };
// Such a wake-up went missing once in some four hundred.
const bursts = isThorough ? 3_000 : 100;

it("a feed goes on with each piece that its node's worker has written, without any tick", async () => {
  const built: unknown = await import(join(await builtDir(), "storage-node", "index.js"));
  const { runStorageNode: run } = built as typeof StorageNodeRoom; // what tsc made of it
  const nodes = await LocalNodes.start(["n"], realDisk, {
    run,
    appendPath: "worker",
    clock: stillClock,
  });
  try {
    const path = await nodes.elect([0], { of: 1, path: [], start: base });
    const appender = await nodes.appender(0);
    const reader = await nodes.group.node(0).link();
    let shown: Lsn = base;
    reader.onMessage(({ message }) => {
      if (message.kind !== "feedData") return;
      expect(message.lsn).toBe(shown);
      for (const { bytes } of message.runs) shown = advance(shown, bytes.length);
    });
    reader.send({ kind: "subscribe", path, from: base });
    let end: Lsn = base;
    for (let burst = 0; burst < bursts; burst++) {
      // Other nodes may have all of it already.
      const vdl = advance(end, 3 * 300);
      for (let piece = 0; piece < 3; piece++) end = appender.send(1, end, 300, vdl);
      await patiently(`burst ${burst} is shown`, () => shown === end);
    }
  } finally {
    await nodes.close();
  }
});
