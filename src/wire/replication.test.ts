import { describe, expect, it } from "vitest";
import { BorealisError } from "../base/errors.ts";
import { timeline } from "../base/ids.ts";
import { advance, lsn, type Lsn } from "../base/lsn.ts";
import {
  decodeStandbyMessage,
  encodeKeepalive,
  encodeStandbyFeedback,
  encodeStandbyStatus,
  encodeWalHeader,
  pgTimestamp,
  ReplicationFramer,
} from "./replication.ts";
import {
  encodeIdentifyReply,
  encodeNextTimeline,
  encodeWalsenderError,
  parseReplicationCommand,
  WalReceiverFramer,
  type WalReceiverMessage,
} from "./walsender.ts";

const at = lsn(0x1_0200_0040n);

/** Feeds `bytes` cut at the given places; gives back what came, WAL joined. */
function received(pieces: readonly Buffer[]) {
  const wal: Buffer[] = [];
  const others: string[] = [];
  let expected: Lsn = at;
  const framer = new ReplicationFramer({
    onWal(start, bytes) {
      expect(start).toBe(expected);
      expected = advance(start, bytes.length);
      wal.push(Buffer.from(bytes));
    },
    onKeepalive: (end, mustReply) => others.push(`keepalive ${end} ${mustReply}`),
    onMessage: (message) => others.push(message.toString("latin1", 0, 1)),
  });
  for (const piece of pieces) framer.push(piece);
  return { wal: Buffer.concat(wal), others };
}

describe("a walsender's stream", () => {
  const wal = Buffer.from(Array.from({ length: 700 }, (_, i) => i & 0xff));
  const chunk = (from: number, to: number): Buffer[] => [
    encodeWalHeader({ start: advance(at, from), end: advance(at, 700), sizeBytes: to - from }, 0),
    wal.subarray(from, to),
  ];
  const stream = Buffer.concat([
    Buffer.from([0x57, 0, 0, 0, 7, 0, 0, 0]),
    ...chunk(0, 300),
    encodeKeepalive(at, 0, true),
    ...chunk(300, 700),
    Buffer.from([0x63, 0, 0, 0, 4]),
  ]);

  it("is understood whatever the cut", () => {
    for (let cut = 0; cut <= stream.length; cut++) {
      const { wal: got, others } = received([stream.subarray(0, cut), stream.subarray(cut)]);
      expect(got.equals(wal)).toBe(true);
      expect(others).toEqual(["W", `keepalive ${at} true`, "c"]);
    }
  });

  it("is understood byte by byte", () => {
    const bytes = Array.from(stream, (_, i) => stream.subarray(i, i + 1));
    expect(received(bytes).wal.equals(wal)).toBe(true);
  });

  it.each([
    ["a length below four", Buffer.from([0x64, 0, 0, 0, 3, 0])],
    ["a text of a gigabyte", Buffer.from([0x44, 0x40, 0, 0, 0, 0])],
    ["a WAL message without its header", Buffer.from([0x64, 0, 0, 0, 10, 0x77])],
  ])("is refused with %s", (_, bytes) => {
    expect(() => received([bytes])).toThrow(BorealisError);
  });
});

describe("a standby's messages", () => {
  it("come back as they were sent", () => {
    const status = { write: lsn(3n), flush: lsn(2n), apply: lsn(1n) };
    const body = encodeStandbyStatus(status, 1_700_000_000_000).subarray(5);
    expect(decodeStandbyMessage(body)).toEqual({ kind: "status", mustReply: false, ...status });
    const feedback = { xmin: 0xffff_fff0, xminEpoch: 1, catalogXmin: 7, catalogXminEpoch: 2 };
    const told = decodeStandbyMessage(encodeStandbyFeedback(feedback, 0).subarray(5));
    expect(told).toEqual({ kind: "feedback", feedback });
  });

  it("count time from the year 2000", () => {
    expect(pgTimestamp(Date.UTC(2000, 0, 1))).toBe(0n);
    expect(pgTimestamp(Date.UTC(2000, 0, 1, 0, 0, 1))).toBe(1_000_000n);
  });

  it("are refused when cut short", () => {
    const body = encodeStandbyStatus({ write: at, flush: at, apply: at }, 0).subarray(5);
    for (let length = 0; length < body.length; length++) {
      expect(() => decodeStandbyMessage(body.subarray(0, length))).toThrow(BorealisError);
    }
  });
});

describe("a walreceiver's half", () => {
  const startup = Buffer.concat([
    Buffer.from([0, 0, 0, 0, 0, 3, 0, 0]),
    Buffer.from("user\0rdsadmin\0replication\0true\0\0"),
  ]);
  startup.writeUInt32BE(startup.length, 0);
  const query = Buffer.concat([Buffer.from([0x51, 0, 0, 0, 20]), Buffer.from("IDENTIFY_SYSTEM\0")]);
  const stream = Buffer.concat([
    Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]),
    startup,
    query,
    encodeStandbyStatus({ write: at, flush: at, apply: at }, 0),
    Buffer.from([0x63, 0, 0, 0, 4]),
    Buffer.from([0x58, 0, 0, 0, 4]),
  ]);

  it("is understood whatever the cut", () => {
    for (let cut = 0; cut <= stream.length; cut++) {
      const framer = new WalReceiverFramer();
      const kinds: string[] = [];
      const take = (message: WalReceiverMessage): void => {
        kinds.push(message.kind === "query" ? message.text : message.kind);
      };
      framer.push(stream.subarray(0, cut), take);
      framer.push(stream.subarray(cut), take);
      const expected = ["encryptionRequest", "startup", "IDENTIFY_SYSTEM", "standby", "copyDone"];
      expect(kinds).toEqual([...expected, "goodbye"]);
    }
  });

  it.each([
    ["IDENTIFY_SYSTEM", { kind: "identifySystem" }],
    ["TIMELINE_HISTORY 12", { kind: "timelineHistory", timeline: 12 }],
    [
      "START_REPLICATION 1/2000000 TIMELINE 3",
      { kind: "startReplication", from: lsn(0x1_0200_0000n), timeline: 3 },
    ],
    [
      'START_REPLICATION SLOT "a" PHYSICAL 0/0 TIMELINE 1',
      { kind: "startReplication", from: lsn(0n), timeline: 1 },
    ],
    ["BASE_BACKUP", undefined],
    ["START_REPLICATION SLOT x LOGICAL 0/0", undefined],
  ])("%s is parsed", (text, expected) => {
    expect(parseReplicationCommand(text)).toEqual(expected);
  });

  it("is answered in PostgreSQL's bytes", () => {
    const reply = encodeIdentifyReply({ systemId: "77", timeline: timeline(2), end: at });
    expect(reply.toString("latin1")).toContain("xlogpos\0");
    expect(reply.toString("latin1")).toContain("1/2000040");
    const next = encodeNextTimeline({ timeline: timeline(2), start: at }).toString("latin1");
    expect(next).toMatch(/START_STREAMING\0C[^]+START_REPLICATION\0Z/);
    const error = encodeWalsenderError(new BorealisError("55000", "not here")).toString("latin1");
    expect(error).toMatch(/^E[^]+C55000\0Mnot here\0/);
    expect(error.endsWith("Z\0\0\0\u0005I")).toBe(true);
  });
});
