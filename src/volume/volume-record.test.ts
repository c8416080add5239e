import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { epoch, nodeId, timeline, volumeId } from "../base/ids.ts";
import { lsn } from "../base/lsn.ts";
import {
  encodeVolumeRecord,
  FolderStore,
  type LogPath,
  parseVolumeRecord,
  readVolumeRecord,
  type VolumeRecord,
  writeVolumeRecord,
} from "./index.ts";

const parent = volumeId("99999999-2222-3333-4444-555555555555");
const history: LogPath = [
  {
    epoch: epoch(1),
    timeline: timeline(1),
    start: lsn(0x100_0000n),
    kind: "branch",
    volumeId: parent,
  },
  {
    epoch: epoch(3),
    timeline: timeline(2),
    start: lsn(0x1_2345_6789n),
    kind: "backtrack",
  },
];
const record: VolumeRecord = {
  volumeId: volumeId("11111111-2222-3333-4444-555555555555"),
  clusterId: "borealis-1",
  createdAt: "2026-01-02T03:04:05.678Z",
  writtenAt: "2026-01-03T03:04:05.678Z",
  engineVersion: "17.6",
  postgresMajor: 17,
  systemIdentifier: "7512345678901234567",
  genesisLsn: lsn(0x100_0000n),
  masterUser: "postgres",
  isSuperuser: true,
  encryption: "on",
  keyRing: '{"format":1}\n',
  members: [
    {
      name: "az1-full",
      nodeId: nodeId("22222222-2222-3333-4444-555555555555"),
      az: "az1",
      kind: "full",
    },
  ],
  instances: 3,
  history,
  left: [{ history: history.slice(0, 1), from: lsn(0x1_2345_6789n), leftAtMs: 1_767_000_000_000 }],
  futures: [
    {
      fork: lsn(0x1_2345_6789n),
      end: lsn(0x1_2345_9999n),
      leftAtMs: 1_767_000_000_000,
      firstUs: 1_766_999_999_123_456n,
      returned: undefined,
      untilMs: 1_767_086_400_000,
      merged: 3,
      isParents: true,
    },
    {
      fork: lsn(0x1_2345_6789n),
      end: lsn(0x1_2345_8888n),
      leftAtMs: 1_767_000_009_000,
      firstUs: undefined,
      returned: {
        leftAtMs: 1_767_000_000_000,
        to: lsn(0x1_2345_7777n),
        nextUs: 1_766_999_999_999_999n,
      },
      untilMs: undefined,
    },
  ],
};

describe("volume.json", () => {
  it("says in a store who the volume is", async () => {
    const root = mkdtempSync(join(tmpdir(), "borealis-record-"));
    try {
      const store = new FolderStore(root);
      expect(await readVolumeRecord(store)).toBeUndefined();
      await writeVolumeRecord(store, record);
      expect(await readVolumeRecord(store)).toEqual(record);
      const plain = { ...record, keyRing: undefined, encryption: "off" as const };
      await writeVolumeRecord(store, plain);
      expect(await readVolumeRecord(store)).toEqual(plain);
    } finally {
      rmSync(root, { recursive: true, force: true });
    }
  });

  it("is found damaged after any flipped bit that is not white space, and at every length", () => {
    const bytes = encodeVolumeRecord(record);
    for (let byte = 0; byte < bytes.length - 1; byte++) {
      if (/\s/.test(String.fromCharCode(bytes[byte] ?? 0))) continue;
      const bad = Buffer.from(bytes);
      bad.writeUInt8(bad.readUInt8(byte) ^ 4, byte);
      expect(() => parseVolumeRecord(bad), `byte ${byte}`).toThrow();
      expect(() => parseVolumeRecord(bytes.subarray(0, byte))).toThrow(/damaged/);
    }
  });

  it("of before backtracks were remembered there is read as one without", () => {
    const { futures: _, ...older } = record;
    const bytes = encodeVolumeRecord({ ...older, futures: [] }).toString();
    const { record: inner } = JSON.parse(bytes) as { record: Record<string, unknown> };
    delete inner["futures"];
    const sha256 = createHash("sha256").update(JSON.stringify(inner)).digest("hex");
    const whole = Buffer.from(JSON.stringify({ format: 1, sha256, record: inner }));
    expect(parseVolumeRecord(whole)).toEqual({ ...record, futures: [] });
  });

  it("of a newer Borealis is told apart from damage", () => {
    const newer = Buffer.from(
      encodeVolumeRecord(record).toString().replace('"format": 1', '"format": 2'),
    );
    expect(() => parseVolumeRecord(newer)).toThrow(/has format 2/);
  });

  it("with a path that is none is refused, whatever its sum says", () => {
    const odd = { ...record, history: history.toReversed() };
    expect(() => parseVolumeRecord(encodeVolumeRecord(odd))).toThrow(/its path is none/);
  });
});
