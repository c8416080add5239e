import { describe, expect, it } from "vitest";
import { MemoryStore } from "../../test/helpers/memory-store.ts";
import { epoch, timeline } from "../base/ids.ts";
import { lsn } from "../base/lsn.ts";
import { openLogger, realClock } from "../io/index.ts";
import { type LogPath, readVolumeRecord, volumeObject } from "../volume/index.ts";
import type { KeeperContext } from "./keeper-shell.ts";
import { RecordKeeping } from "./record-keeping-shell.ts";

const path: LogPath = [
  { epoch: epoch(3), timeline: timeline(1), start: lsn(0x100_0000n), kind: "branch" },
];

async function aRecord(isWritten = true) {
  const store = new MemoryStore("objects");
  const context = {
    clock: realClock,
    logger: openLogger({ file: undefined, process: "test" }),
    world: () => ({
      nodes: [],
      instances: [],
      durable: null,
      unreadable: [],
      futures: [],
      left: [],
    }),
    config: {
      volumeId: "11111111-2222-3333-4444-555555555555",
      addressVolumeId: "11111111-2222-3333-4444-555555555555",
      postgresMajor: 18,
      systemIdentifier: "7512345678901234567",
      genesisLsn: "0/1000000",
      keyRingFile: null,
      volume: {
        clusterId: "borealis",
        createdAt: "2026-01-02T03:04:05.678Z",
        engineVersion: "18.4",
        masterUser: "postgres",
        isSuperuser: true,
        encryption: "off",
      },
    },
  } as unknown as KeeperContext;
  const record = new RecordKeeping(context);
  if (isWritten) await record.write(store, path);
  const text = (): string => store.kept.get(volumeObject)?.toString() ?? "";
  const change = (from: string | RegExp, to: string): void =>
    void store.kept.set(volumeObject, Buffer.from(text().replace(from, to)));
  return { store, record, change };
}

describe("volume.json", () => {
  it("is left alone while it is good, or was never written", async () => {
    const { store, record } = await aRecord();
    expect(await record.heal(store, path)).toBe("good");
    const fresh = await aRecord(false);
    expect(await fresh.record.heal(fresh.store, path)).toBe("gone");
  });

  it.each([
    ["rotten", '"postgresMajor": 18', '"postgresMajor": 28'],
    ["cut", /.{40}$/s, ""],
    ["rotten in the number of its format", '"format": 1', '"format": 3'],
  ])("is written again when it is %s", async (_, from, to) => {
    const { store, record, change } = await aRecord();
    change(from, to);
    await expect(readVolumeRecord(store)).rejects.toThrow();
    expect(await record.heal(store, path)).toBe("healed");
    expect(await readVolumeRecord(store)).toMatchObject({ postgresMajor: 18, history: path });
  });

  it("is written again when it is gone", async () => {
    const { store, record } = await aRecord();
    store.kept.clear();
    expect(await record.heal(store, path)).toBe("healed");
    expect(await readVolumeRecord(store)).toBeDefined();
  });

  it("of a newer version, or of later times, is nobody's to write", async () => {
    const { store, record, change } = await aRecord();
    change('"format": 1', '"format": 2, "more": true');
    await expect(record.heal(store, path)).rejects.toMatchObject({ code: "0A000" });
    store.kept.clear();
    const older: LogPath = path.map((entry) => ({ ...entry, epoch: epoch(2) }));
    await expect(record.heal(store, older)).rejects.toMatchObject({ code: "55000" });
  });

  it("is the first only where there was none, not even a damaged one", async () => {
    const { store, record } = await aRecord(false);
    expect(await record.isFirst(store)).toBe(true);
    await record.write(store, path);
    expect(await record.isFirst(store)).toBe(false);
    for (const text of [store.kept.get(volumeObject), Buffer.from("{")]) {
      const later = await aRecord(false);
      later.store.kept.set(volumeObject, text ?? Buffer.alloc(0));
      expect(await later.record.isFirst(later.store)).toBe(false);
    }
  });
});
