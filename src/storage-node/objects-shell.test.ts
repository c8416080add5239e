import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { type Disk, openLogger, realDisk, realEntropy } from "../io/index.ts";
import { snapshotObject } from "../volume/index.ts";
import { NodeObjects } from "./objects-shell.ts";

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

const name = snapshotObject("one");
const always = (): boolean => true;

/** A door that is closed until it is opened. */
function aDoor() {
  let open = (): void => undefined;
  const isOpen = new Promise<void>((resolve) => (open = resolve));
  return { isOpen, open };
}

function objectsWith({ disk = realDisk, admit }: { disk?: Disk; admit?: () => Promise<void> }) {
  const dir = mkdtempSync(join(tmpdir(), "borealis-objects-"));
  folders.push(dir);
  const objects = new NodeObjects({
    name: "az1-full",
    dir,
    segmentBytes: 1024,
    disk,
    entropy: realEntropy,
    logger: openLogger({ file: undefined, process: "test" }),
    storage: {
      health: "ok",
      fail: (error) => {
        throw error;
      },
      requireFolder: async () => undefined,
    },
    ...(admit && { admit }),
  });
  return {
    objects,
    put: async (text: string, isWanted = always): Promise<boolean> => {
      const draft = await objects.draft(name, text.length);
      await draft.write(Buffer.from(text));
      const isKept = await draft.keep(isWanted);
      if (!isKept) await draft.drop();
      return isKept;
    },
    read: async (): Promise<string | undefined> => {
      const file = await objects.open(name);
      if (!file) return undefined;
      const bytes = Buffer.alloc(file.sizeBytes);
      await file.read(bytes, 0);
      await file.close();
      return bytes.toString();
    },
  };
}

describe("what a sender changes on a link that it gave up", () => {
  it("does not take what it has put since: a deletion that had to wait", async () => {
    const door = aDoor();
    let waits = true;
    const admit = (): Promise<void> => (waits ? door.isOpen : Promise.resolve());
    const { objects, put, read } = objectsWith({ admit });
    let isOpen = true;
    const deleting = objects.delete([name], () => isOpen);
    // The link ends, and the sender goes on with another one, whose requests meet no fault.
    isOpen = false;
    waits = false;
    await put("new");
    door.open();
    expect(await deleting).toBe(false);
    expect(await read()).toBe("new");
  });

  it("comes before what it has put since: a deletion that had begun", async () => {
    const door = aDoor();
    let removals = 0;
    const disk: Disk = Object.create(realDisk, {
      remove: {
        value: async (path: string): Promise<void> => {
          if (path.endsWith(".manifest")) {
            removals++;
            await door.isOpen;
          }
          return realDisk.remove(path);
        },
      },
    });
    const { objects, put, read } = objectsWith({ disk });
    await put("old");
    const deleting = objects.delete([name], always);
    const putting = put("new");
    await expect.poll(() => removals).toBe(1);
    door.open();
    expect(await deleting).toBe(true);
    expect(await putting).toBe(true);
    expect(await read()).toBe("new");
  });

  it("stays undone: a put that waited for one before it", async () => {
    const door = aDoor();
    const disk: Disk = Object.create(realDisk, {
      remove: {
        value: async (path: string): Promise<void> => {
          if (path.endsWith(".manifest")) await door.isOpen;
          return realDisk.remove(path);
        },
      },
    });
    const { objects, put, read } = objectsWith({ disk });
    await put("old");
    const deleting = objects.delete([name], always);
    let isOpen = true;
    const putting = put("late", () => isOpen);
    isOpen = false;
    door.open();
    expect(await deleting).toBe(true);
    expect(await putting).toBe(false);
    expect(await read()).toBeUndefined();
  });
});
