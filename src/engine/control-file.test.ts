import { describe, expect, it } from "vitest";
import { formatLsn } from "../base/lsn.ts";
import { baseLsn, parseControlFile } from "./control-file.ts";

/** The first 296 bytes of real files, fresh from initdb; the facts are from pg_controldata 15 and from SQL on 17 and 18. */
const golden15 = Buffer.from(
  "t+JILOMFAWsUBQAAJXcNDAEAAAAAAAAA4wUBawAAAAD4FHQBAAAAAPgUdAEAAAAAAQAAAAEAAAABAAAAAAAAANQC" +
    "AAAAAAAABDUAAAEAAAAAAAAAzAIAAAEAAAABAAAAAQAAAAAAAADjBQFrAAAAAAAAAAAAAAAAAAAAAAAAAADoAwAA" +
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAEAAAAAAAAAZAAAAAgAAAAKAAAAAAAAAEAA" +
    "AAAAAAAACAAAAAAAAACH1jJBACAAAAAAAgAAIAAAAAAAAUAAAAAgAAAAzAcAAAAIAAABAAAAAQAAAOBhOSA7E6b/" +
    "nyh3P4wztlzFA/lsNQnCXRwNp6odFOvrIq5okAAAAAA=",
  "base64",
);
const golden17 = Buffer.from(
  "DFQa4wofDWukBgAAiXkQDAEAAAAAAAAACx8NawAAAADwiU0BAAAAAPCJTQEAAAAAAQAAAAEAAAABAAAAAQAAAOICAAAAAAAA" +
    "uTQAAAEAAAAAAAAA2gIAAAEAAAABAAAAAQAAAAAAAAALHw1rAAAAAAAAAAAAAAAAAAAAAAAAAADoAwAAAAAAAAAAAAAAAAAA" +
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAEAAAAAAAAAZAAAAAgAAAAKAAAAAAAAAEAAAAAAAAAACAAAAAAAAACH1jJB" +
    "ACAAAAAAAgAAIAAAAAAAAUAAAAAgAAAAzAcAAAAIAAABAAAAAAAAAKKKksKbbMGABitMgEH3ssyyqj+D/dVlqZcmIHhTnXn8" +
    "CJfzYwAAAAA=",
  "base64",
);
const golden18 = Buffer.from(
  "qRLTm+IFAWsIBwAAMwASDAEAAAAAAAAA4wUBawAAAAD4snQBAAAAAPiydAEAAAAAAQAAAAEAAAABAAAAAQAAAPAC" +
    "AAAAAAAAwzQAAAEAAAAAAAAA6AIAAAEAAAABAAAAAQAAAAAAAADjBQFrAAAAAAAAAAAAAAAAAAAAAAAAAADoAwAA" +
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAEAAAAAAAAAZAAAAAgAAAAKAAAAAAAAAEAA" +
    "AAAAAAAACAAAAAAAAACH1jJBACAAAAAAAgAAIAAAAAAAAUAAAAAgAAAAzAcAAAAIAAABAAAAAQAAAAHzEjrqeuV1" +
    "qqBYz3pZIqcM9j22btfESk867ZBRX8sb3gAAAK4ebNc=",
  "base64",
);

describe("pg_control", () => {
  it("of PostgreSQL 15 is read as pg_controldata reads it", () => {
    const control = parseControlFile(golden15);
    expect(control).toEqual({
      systemIdentifier: 7710450510293689015n,
      controlVersion: 1300,
      catalogVersion: 202209061,
      state: "shutDown",
      checkpointLsn: 0x17414f8n,
      redoLsn: 0x17414f8n,
      timeline: 1,
      previousTimeline: 1,
      nextXid: 724n,
      minRecoveryLsn: 0n,
      minRecoveryTimeline: 0,
      backupStartLsn: 0n,
      backupEndLsn: 0n,
      isBackupEndRequired: false,
      maxConnections: 100,
      blockBytes: 8192,
      walSegmentBytes: 16 * 1024 * 1024,
      hasChecksums: true,
    });
    expect(formatLsn(baseLsn(control))).toBe("0/1000000");
  });

  it("of PostgreSQL 17 is read too", () => {
    expect(parseControlFile(golden17)).toMatchObject({
      systemIdentifier: 7713855868375815180n,
      controlVersion: 1700,
      catalogVersion: 202406281,
      state: "shutDown",
      checkpointLsn: 0x14d89f0n,
      redoLsn: 0x14d89f0n,
      timeline: 1,
      nextXid: 738n,
      walSegmentBytes: 16 * 1024 * 1024,
      hasChecksums: false,
    });
  });

  it("of PostgreSQL 18, whose layout differs near the end, is read too", () => {
    const control = parseControlFile(golden18);
    expect(control).toMatchObject({
      systemIdentifier: 7710450507870048937n,
      controlVersion: 1800,
      catalogVersion: 202506291,
      checkpointLsn: 0x174b2f8n,
      redoLsn: 0x174b2f8n,
      timeline: 1,
      nextXid: 752n,
      walSegmentBytes: 16 * 1024 * 1024,
      hasChecksums: true,
    });
  });

  it("is refused when any of its bytes is flipped", () => {
    for (const golden of [golden15, golden17, golden18]) {
      const length = golden === golden18 ? 296 : 292;
      for (let at = 0; at < length; at++) {
        const damaged = Buffer.from(golden);
        damaged.writeUInt8(damaged.readUInt8(at) ^ 0x10, at);
        expect(() => parseControlFile(damaged), `byte ${at}`).toThrow(/pg_control/);
      }
    }
  });

  it("is refused when it is short", () => {
    for (let length = 0; length < 296; length++) {
      expect(() => parseControlFile(golden18.subarray(0, length))).toThrow("too few");
    }
  });
});
