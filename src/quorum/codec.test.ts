import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { damageTaken, expectHostileIsHarmless } from "../../test/helpers/codec-fuzz.ts";
import { crc32c } from "../base/crc32c.ts";
import { ProtocolViolation } from "../base/errors.ts";
import { epoch, nodeId, timeline, volumeId } from "../base/ids.ts";
import { lsn } from "../base/lsn.ts";
import {
  appendAckBytes,
  appendHeaderBytes,
  decodeAppendAck,
  decodeHello,
  decodeHelloAnswer,
  decodeMessage,
  encodeAppendAck,
  encodeAppendAnswer,
  encodeHello,
  encodeHelloAnswer,
  encodeMessage,
  type Elect,
  type Envelope,
  isForLink,
  judgeHello,
  type LogPosition,
  memberSet,
  messageBytesMax,
  MessageFramer,
  type MessageKind,
  noConfiguration,
  type QuorumMessage,
  readAppendHeader,
  uuidToBytes,
  writeAppendHeader,
} from "./index.ts";

const volume = volumeId("11111111-2222-4333-8444-555555555555");
const node = nodeId("00000000-0000-4000-8000-000000000001");
const uuid = "99999999-0000-4000-8000-000000000001";
const envelope: Envelope = {
  volumeId: volume,
  sender: "instance-1",
  target: node,
  requestId: 2n ** 63n + 5n,
};
const history = [
  { epoch: epoch(1), timeline: timeline(1), start: lsn(16n), kind: "branch", volumeId: volume },
  { epoch: epoch(7), timeline: timeline(3), start: lsn(99n), kind: "backtrack" },
] as const;
const configuration = {
  id: { epoch: epoch(7), version: 2 },
  sets: [memberSet([{ nodeId: node, az: "eu-1a", kind: "tail" }])],
};
const position: LogPosition = {
  history,
  scl: lsn(0xffff_ffff_ffff_ffffn),
  base: lsn(16n),
  floor: lsn(20n),
  vdl: lsn(90n),
  vdlEpoch: epoch(2 ** 52),
  configuration,
  suspectTail: true,
};
const runs = [
  { epoch: epoch(1), timeline: timeline(1), bytes: Buffer.from("abc") },
  { epoch: epoch(7), timeline: timeline(3), bytes: Buffer.from("d") },
];
const elect: Elect = {
  kind: "elect",
  epoch: epoch(7),
  claimId: uuid,
  history,
  start: lsn(99n),
  configuration,
  low: lsn(16n),
  floor: lsn(20n),
};
const e = epoch(7);
const at = lsn(77n);

/** One of every kind: a forgotten one does not compile. */
const samples: { readonly [K in MessageKind]: Extract<QuorumMessage, { kind: K }> } = {
  inspect: { kind: "inspect" },
  state: {
    kind: "state",
    ...position,
    configuration: noConfiguration,
    promised: e,
    accepted: e,
    sealed: volume,
    health: "damaged",
    logBytes: 2 ** 40,
    hasSubscribers: true,
    healed: 7,
  },
  claim: { kind: "claim", epoch: e, claimId: uuid, claimant: "instance-é" },
  promise: {
    kind: "promise",
    ...position,
    epoch: e,
    claimId: uuid,
    pins: [{ pinId: uuid, path: history, from: at, to: at }],
  },
  refuse: { kind: "refuse", epoch: e, promised: epoch(9), reason: "sealed" },
  wait: { kind: "wait", epoch: e, ms: 1999 },
  elect,
  electAck: { kind: "electAck", epoch: e, scl: at, configuration: configuration.id },
  append: {
    kind: "append",
    epoch: e,
    timeline: timeline(3),
    lsn: at,
    vdl: lsn(70n),
    payload: Buffer.from("wal bytes"),
  },
  appendAck: { kind: "appendAck", epoch: e, scl: at, hasSubscribers: true },
  gap: { kind: "gap", epoch: e, end: at },
  heartbeat: { kind: "heartbeat", epoch: e, round: 12, vdl: at, leaseMs: 2000 },
  heartbeatAck: {
    kind: "heartbeatAck",
    epoch: e,
    round: 12,
    scl: at,
    leaseMs: 0,
    hasSubscribers: false,
  },
  configChange: { kind: "configChange", epoch: e, configuration, low: at, floor: at },
  configAck: { kind: "configAck", epoch: e, configuration: configuration.id },
  floor: { kind: "floor", epoch: e, lsn: at },
  floorAck: { kind: "floorAck", epoch: e, lsn: at },
  advanceLow: { kind: "advanceLow", epoch: e, lsn: at },
  pull: { kind: "pull", from: at, maxBytes: 4096, accepted: e },
  pullData: { kind: "pullData", lsn: at, runs, accepted: e },
  relayElect: { kind: "relayElect", electRecord: elect },
  getLog: { kind: "getLog", path: history, from: at, to: at, maxVdl: true },
  logData: { kind: "logData", lsn: at, runs },
  notHere: { kind: "notHere", base: at, scl: at },
  subscribe: { kind: "subscribe", path: history, from: at },
  feedData: { kind: "feedData", lsn: at, runs: [], vdl: at, vdlEpoch: e, history },
  pathChanged: { kind: "pathChanged", history },
  pin: { kind: "pin", epoch: e, pinId: uuid, path: history, from: at, to: at },
  unpin: { kind: "unpin", epoch: e, pinId: uuid },
  pinAck: { kind: "pinAck", epoch: e, pinId: uuid, isHeld: true },
  pinPull: { kind: "pinPull", pinId: uuid, from: at },
  pinData: { kind: "pinData", pinId: uuid, lsn: at, runs },
  seal: { kind: "seal", epoch: e, successor: volume },
  sealAck: { kind: "sealAck", epoch: e, successor: volume },
  release: { kind: "release", epoch: e, round: Number.MAX_SAFE_INTEGER },
  digest: { kind: "digest", path: history, from: at, to: at },
  digestData: { kind: "digestData", from: at, to: at, hash: uuid },
  scrub: { kind: "scrub" },
  scrubProgress: { kind: "scrubProgress", checkedBytes: 12, totalBytes: 2 ** 40 },
  scrubReport: { kind: "scrubReport", checkedBytes: 12, healed: 3, unhealed: 0, compared: 5 },
};
const everyMessage: QuorumMessage[] = Object.values(samples);
const encoded = everyMessage.map((message) => encodeMessage(envelope, message));
const isFixed = (kind: MessageKind): boolean => ["append", "appendAck", "gap"].includes(kind);

describe("messages", () => {
  it.each(everyMessage.map((message) => [message.kind, message] as const))(
    "%s comes back as it was",
    (kind, message) => {
      const back = decodeMessage(encodeMessage(envelope, message));
      expect(back.message).toEqual(message);
      // The commit path's messages leave the sender to the link's hello.
      expect(back.envelope).toEqual(isFixed(kind) ? { ...envelope, sender: "" } : envelope);
    },
  );

  it("a current path and a joint configuration come back too", () => {
    const current: QuorumMessage = { ...samples.getLog, path: "current" };
    expect(decodeMessage(encodeMessage(envelope, current)).message).toEqual(current);
    const [set] = configuration.sets;
    const joint = { ...configuration, sets: set ? [set, set] : [] };
    const change: QuorumMessage = { ...samples.configChange, configuration: joint };
    expect(decodeMessage(encodeMessage(envelope, change)).message).toEqual(change);
  });

  it("every truncation and every single flipped bit is a violation", () => {
    expect(damageTaken(encoded, decodeMessage)).toEqual([]);
  });

  it("hostile bytes behind a good CRC decode or are violations, never anything else", () => {
    // An Append's covers its header; the payload has one of its own.
    const crcEnd = (bytes: Buffer): number => (bytes[8] === 1 ? appendHeaderBytes : bytes.length);
    expectHostileIsHarmless(encoded, decodeMessage, { runs: 5_000, crcEnd });
  });

  it("an Elect must end in its own entry and have members", () => {
    const headless: QuorumMessage = { ...elect, history: history.slice(0, 1) };
    expect(() => decodeMessage(encodeMessage(envelope, headless))).toThrow("own entry");
    const empty: QuorumMessage = { ...elect, configuration: noConfiguration };
    expect(() => decodeMessage(encodeMessage(envelope, empty))).toThrow("members");
  });

  it("a set that breaks W + R > N is a violation", () => {
    const [set] = configuration.sets;
    const weak = { ...configuration, sets: set ? [{ ...set, readQuorum: 0 }] : [] };
    const change: QuorumMessage = { ...samples.configChange, configuration: weak };
    expect(() => decodeMessage(encodeMessage(envelope, change))).toThrow("quorum rule");
  });
});

describe("the framer", () => {
  const stream = Buffer.concat(encoded);

  it("cuts the same messages whatever the chunks", () => {
    for (let size = 1; size < 200; size++) {
      const framer = new MessageFramer();
      const out: Buffer[] = [];
      for (let from = 0; from < stream.length; from += size)
        out.push(...framer.push(stream.subarray(from, from + size)));
      expect(out.map((one) => decodeMessage(one).message.kind)).toEqual(
        everyMessage.map((message) => message.kind),
      );
    }
  });

  it("gives views of one chunk without copying", () => {
    const [first] = new MessageFramer().push(stream);
    expect(first?.buffer).toBe(stream.buffer);
  });

  it.each([0, 3, 49, messageBytesMax + 1, 0xffff_ffff])(
    "refuses a length of %i at once",
    (length) => {
      const bytes = Buffer.alloc(4);
      bytes.writeUInt32BE(length);
      expect(() => new MessageFramer().push(bytes)).toThrow(ProtocolViolation);
      const framer = new MessageFramer();
      framer.push(bytes.subarray(0, 2));
      expect(() => framer.push(bytes.subarray(2))).toThrow(ProtocolViolation);
    },
  );
});

describe("the commit path's messages", () => {
  const ids = { volume: uuidToBytes(volume), node: uuidToBytes(node) };
  const payload = Buffer.from("some wal");
  const header = {
    requestId: 9n,
    epoch: epoch(2 ** 40),
    timeline: timeline(3),
    lsn: lsn(0x16_b3748n),
    vdl: lsn(0x16_b0000n),
    payloadBytes: payload.length,
    payloadCrc: crc32c(payload),
  };

  it("a header and its payload are one Append", () => {
    const bytes = Buffer.alloc(appendHeaderBytes + payload.length);
    writeAppendHeader(bytes, ids, header);
    payload.copy(bytes, appendHeaderBytes);
    expect(readAppendHeader(bytes)).toEqual(header);
    expect(isForLink(bytes, ids)).toBe(true);
    expect(isForLink(bytes, { ...ids, node: ids.volume })).toBe(false);
    const { message } = decodeMessage(bytes);
    expect(message).toMatchObject({ kind: "append", lsn: header.lsn, payload });
  });

  it("an oversized payload is refused by its header", () => {
    const bytes = Buffer.alloc(appendHeaderBytes);
    writeAppendHeader(bytes, ids, { ...header, payloadBytes: 1024 * 1024 + 1 });
    expect(() => readAppendHeader(bytes)).toThrow("exceeds");
  });

  it.each([samples.appendAck, samples.gap, samples.refuse])(
    "an answer comes back as it was",
    (answer) => {
      const bytes = encodeAppendAck(ids, 5n, answer);
      expect(bytes).toHaveLength(appendAckBytes);
      expect(decodeAppendAck(bytes)).toEqual({ requestId: 5n, answer });
      expect(decodeMessage(encodeAppendAnswer(envelope, answer)).message).toEqual(answer);
    },
  );
});

describe("the hello", () => {
  const own = { volumeId: volume, nodeId: node };
  it("names volume, node, purpose and sender, and is judged by them", () => {
    const hello = decodeHello(encodeHello({ ...own, purpose: "append", sender: "instance-1" }));
    expect(hello).toEqual({ ...own, version: 3, purpose: "append", sender: "instance-1" });
    expect(judgeHello(hello, own)).toBe("ok");
    expect(judgeHello(hello, { ...own, nodeId: nodeId(uuid) })).toBe("wrongNode");
    expect(judgeHello(hello, { ...own, volumeId: volumeId(uuid) })).toBe("wrongVolume");
    expect(judgeHello({ ...hello, version: 2 }, own)).toBe("wrongVersion");
    expect(decodeHelloAnswer(encodeHelloAnswer("wrongNode"))).toBe("wrongNode");
  });

  it("anything else that knocks is a violation", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (junk) => {
        expect(() => decodeHello(Buffer.from(junk))).toThrow(ProtocolViolation);
        expect(() => decodeHelloAnswer(Buffer.from(junk))).toThrow(ProtocolViolation);
      }),
    );
  });
});
