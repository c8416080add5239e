import { randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import { volumeId } from "../base/ids.ts";
import { type ParentThread, type WorkerThread } from "../io/index.ts";
import { ExtentSealer } from "../volume/index.ts";
import { PackingThread } from "./packing-shell.ts";
import { run } from "./packing-worker-shell.ts";

const volumeOfTest = volumeId("11111111-2222-3333-4444-555555555555");
const text = Buffer.alloc(100_000, "a page of a table, ");

/** The thread's module in this one, which hears and says copies; it ends at the message after the last that it may answer. */
function aThread(answersMax = Number.POSITIVE_INFINITY) {
  const seen = { givesWay: false, heardBytes: [] as number[], isStopped: false };
  let toThread = (_message: unknown): void => {};
  let toStarter = (_message: unknown): void => {};
  let onExit = (_error?: Error): void => {};
  const parent: Pick<ParentThread, "giveWay" | "post" | "onMessage"> = {
    giveWay: () => (seen.givesWay = true),
    post: (message) => {
      const copy: unknown = structuredClone(message);
      setImmediate(() => toStarter(copy));
    },
    onMessage: (handler) => (toThread = handler),
  };
  run(parent as ParentThread);
  const worker: WorkerThread = {
    post: (message) => {
      const copy = structuredClone(message) as { plain: Uint8Array };
      seen.heardBytes.push(copy.plain.buffer.byteLength);
      if (seen.heardBytes.length <= answersMax) toThread(copy);
      else setImmediate(() => onExit(new Error("gone")));
    },
    onMessage: (handler) => (toStarter = handler),
    onExit: (handler) => (onExit = handler),
    stop: () => (seen.isStopped = true),
  };
  return { seen, packing: new PackingThread(() => worker) };
}

describe("what a thread of its own has compressed", () => {
  it("is opened as any other, and the thread gives way", async () => {
    const { seen, packing } = aThread();
    const sealer = new ExtentSealer({
      volumeId: volumeOfTest,
      keys: undefined,
      compression: packing,
    });
    const plain = new ExtentSealer({ volumeId: volumeOfTest, keys: undefined });
    for (const bytes of [text, randomBytes(5_000), text.subarray(7, 60_000)]) {
      const id = sealer.idOf(bytes);
      const sealed = await sealer.sealExtent(id, bytes);
      expect((await plain.openExtent(id, sealed)).equals(bytes)).toBe(true);
      expect(sealed.equals(await plain.sealExtent(id, bytes))).toBe(true);
    }
    expect(seen.givesWay).toBe(true);
    // Of a part of something bigger, only that part.
    expect(seen.heardBytes.at(-1)).toBe(59_993);
  });

  it("is the same when the thread has ended before, or in the middle", async () => {
    const { packing } = aThread(1);
    const here = await packing.pack(text);
    const packed = await Promise.all([packing.pack(text), packing.pack(text)]);
    packed.push(await packing.pack(text));
    for (const one of packed) expect(one.equals(here)).toBe(true);
  });

  it("is not waited for when it is closed", async () => {
    const { seen, packing } = aThread(0);
    const last = packing.pack(text);
    packing.close();
    expect(seen.isStopped).toBe(true);
    expect(await packing.unpack(packing.codec, await last, text.length)).toEqual(text);
  });
});
