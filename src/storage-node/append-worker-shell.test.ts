import { describe, expect, it } from "vitest";
import { crc32c } from "../base/crc32c.ts";
import { epoch, type Epoch, nodeId, timeline, volumeId } from "../base/ids.ts";
import { lsn, type Lsn } from "../base/lsn.ts";
import { type ParentThread, realEntropy } from "../io/index.ts";
import {
  appendHeaderBytes,
  decodeAppendAck,
  encodeMessage,
  uuidToBytes,
  writeAppendHeader,
} from "../quorum/index.ts";
import { type AppendWorkerReport, type AppendWorkerSetup, run } from "./append-worker-shell.ts";
import { scanFrame } from "./frame-scan.ts";
import { fileHeaderBytes, frameEnd, frameHeaderBytes, parseFileHeader } from "./frame.ts";
import { LogCipher } from "./log-cipher.ts";
import { SharedKeys } from "./shared-keys.ts";
import { recentBytesMax } from "./recent-log.ts";
import { noFaults, SharedFaults } from "./shared-faults.ts";
import { mainHolder, SharedLog } from "./shared-log.ts";

const volume = volumeId("11111111-2222-3333-4444-555555555555");
const node = nodeId("aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee");
const ids = { volume: uuidToBytes(volume), node: uuidToBytes(node) };
const segmentBytes = 4096;
const fileFd = 11;
const spareFd = 12;
const markFd = 13;
const at = (value: number): Lsn => lsn(BigInt(value));

function anAppend(facts: { lsn: number; text: string; epoch?: number; vdl?: number }): Buffer {
  const payload = Buffer.from(facts.text);
  const bytes = Buffer.alloc(appendHeaderBytes + payload.length);
  payload.copy(bytes, appendHeaderBytes);
  writeAppendHeader(bytes, ids, {
    requestId: BigInt(facts.lsn),
    epoch: epoch(facts.epoch ?? 5),
    timeline: timeline(2),
    lsn: at(facts.lsn),
    vdl: at(facts.vdl ?? 0),
    payloadBytes: payload.length,
    payloadCrc: crc32c(payload),
  });
  return bytes;
}

/** A worker over fake system calls: the whole story of one link, then what it left behind. */
function serve(options: {
  chunks: readonly Buffer[];
  early?: Buffer;
  arrange?: (shared: SharedLog) => void;
  failsAt?: number;
  dataKey?: Buffer;
  /** Which acknowledgement finds nobody. */
  answerFailsAt?: number;
  faults?: SharedFaults;
  fileBytes?: number;
}) {
  const { fileBytes = segmentBytes } = options;
  const shared = new SharedLog();
  const keys = new SharedKeys();
  if (options.dataKey) keys.set(3, options.dataKey);
  shared.promised = epoch(5);
  shared.accepted = epoch(5);
  shared.scl = at(100);
  shared.start = at(100);
  shared.place = { fd: fileFd, at: fileHeaderBytes, sequence: 1, firstLsn: at(100) };
  shared.fileBytes = fileBytes;
  options.arrange?.(shared);
  const chunks = [...options.chunks];
  const files = new Map([fileFd, spareFd, markFd].map((fd) => [fd, Buffer.alloc(fileBytes)]));
  const calls: string[] = [];
  const promised: number[] = [];
  const answers: unknown[] = [];
  const reports: AppendWorkerReport[] = [];
  const setup: AppendWorkerSetup = {
    memory: shared.memory,
    keys: keys.memory,
    faults: (options.faults ?? new SharedFaults()).memory,
    holder: 1,
    volumeId: volume,
    nodeId: node,
    markFd,
  };
  let deliver = (_message: unknown): void => {};
  let writes = 0;
  const parent: ParentThread = {
    data: setup,
    entropy: realEntropy,
    giveWay: () => undefined,
    post: (message) => void reports.push(message as AppendWorkerReport), // the worker posts nothing else
    onMessage: (handler) => {
      deliver = handler;
    },
    blocking: {
      read(_fd, into, from) {
        const chunk = chunks.shift();
        if (!chunk) return 0;
        calls.push("read");
        into.set(chunk, from);
        return chunk.length;
      },
      write(_fd, bytes) {
        calls.push("answer");
        if (calls.filter((call) => call === "answer").length === options.answerFailsAt)
          throw new Error("EPIPE");
        const { answer } = decodeAppendAck(Buffer.from(bytes));
        // M10: between the check of the epoch and its acknowledgement nobody else may have the grant.
        if (answer.kind === "appendAck") expect(shared.isHeldBy(1)).toBe(true);
        promised.push(shared.recentBytes);
        answers.push(answer);
      },
      writeAt(fd, bytes, offset) {
        if (fd === markFd) return;
        calls.push("write");
        expect(shared.isHeldBy(1)).toBe(true);
        if (++writes === options.failsAt) throw new Error("EIO");
        files.get(fd)?.set(bytes, offset);
      },
    },
  };
  run(parent);
  deliver({ kind: "link", link: 1, fd: 3, early: options.early ?? Buffer.alloc(0) });
  return {
    shared,
    calls,
    answers,
    /** Of each answer: how much is on its way to those who follow the log. */
    promised,
    reports,
    files,
    file: logOf(files, fileFd),
    spare: logOf(files, spareFd),
    /** Another link, behind that one. */
    again: (more: readonly Buffer[]) => {
      chunks.push(...more);
      deliver({ kind: "link", link: 2, fd: 3, early: Buffer.alloc(0) });
    },
  };
}

function logOf(files: Map<number, Buffer>, fd: number): string {
  const bytes = files.get(fd) ?? Buffer.alloc(0);
  let text = "";
  let expected: Lsn | undefined;
  for (let next = fileHeaderBytes; ;) {
    const first = bytes.readBigUInt64BE(next + 8);
    const step = scanFrame(bytes, next, expected ?? lsn(first));
    if (step.kind !== "frame") return text;
    text += bytes.toString("utf8", step.at + frameHeaderBytes, step.nextAt);
    expected = frameEnd(step.header);
    next = step.nextAt;
  }
}

const ack = (scl: number, of: Epoch = epoch(5)) => ({
  kind: "appendAck",
  epoch: of,
  scl: at(scl),
  hasSubscribers: false,
});

describe("an append worker", () => {
  it("writes what piled up in one go and acknowledges it once, after the write", () => {
    const messages = [
      anAppend({ lsn: 100, text: "abc" }),
      anAppend({ lsn: 103, text: "de" }),
      anAppend({ lsn: 105, text: "f", vdl: 103 }),
    ];
    const { calls, answers, file, shared } = serve({ chunks: [Buffer.concat(messages)] });
    expect(calls).toEqual(["read", "write", "answer"]);
    expect(answers).toEqual([ack(106)]);
    expect(file).toBe("abcdef");
    expect([shared.scl, shared.vdl]).toEqual([106n, 103n]);
  });

  it("takes messages cut at any place", () => {
    const stream = Buffer.concat([
      anAppend({ lsn: 100, text: "abc" }),
      anAppend({ lsn: 103, text: "de" }),
    ]);
    for (let cut = 0; cut <= stream.length; cut++) {
      const story = serve({ early: stream.subarray(0, cut), chunks: [stream.subarray(cut)] });
      expect(story.file, `cut at ${cut}`).toBe("abcde");
      expect(story.answers.at(-1)).toEqual(ack(105));
    }
  });

  it("skips what it has, and says where a gap begins", () => {
    const { answers, file } = serve({
      chunks: [
        anAppend({ lsn: 100, text: "abcd" }),
        anAppend({ lsn: 102, text: "cdef" }),
        anAppend({ lsn: 107, text: "h" }),
        anAppend({ lsn: 101, text: "bc" }),
        anAppend({ lsn: 106, text: "", vdl: 104 }),
      ],
    });
    expect(answers).toEqual([
      ack(104),
      ack(106),
      { kind: "gap", epoch: 5, end: 106n },
      ack(106),
      ack(106),
    ]);
    expect(file).toBe("abcdef");
  });

  it("refuses other epochs and goes on with its own", () => {
    const stream = [
      anAppend({ lsn: 100, text: "old", epoch: 4 }),
      anAppend({ lsn: 100, text: "abc" }),
      anAppend({ lsn: 103, text: "new", epoch: 6 }),
    ];
    const { answers, file } = serve({ chunks: [Buffer.concat(stream)] });
    expect(answers).toEqual([
      { kind: "refuse", epoch: 4, promised: 5, reason: "stale" },
      ack(103),
      { kind: "refuse", epoch: 6, promised: 5, reason: "notAccepted" },
    ]);
    expect(file).toBe("abc");
  });

  it("refuses without touching the log once the main thread has promised away its epoch", () => {
    const { calls, answers } = serve({
      chunks: [anAppend({ lsn: 100, text: "late" })],
      arrange(shared) {
        shared.takeForMain(0);
        shared.promised = epoch(6);
      },
    });
    expect(calls).toEqual(["read", "answer"]);
    expect(answers).toEqual([{ kind: "refuse", epoch: 5, promised: 6, reason: "stale" }]);
  });

  it("begins the next file when the current one has no room", () => {
    const text = "x".repeat(3000);
    const { file, spare, answers, reports, shared } = serve({
      chunks: [
        anAppend({ lsn: 100, text }),
        anAppend({ lsn: 3100, text: text.replaceAll("x", "y") }),
      ],
      arrange: (shared) =>
        shared.offerSpare({ state: "ready", fd: spareFd, sizeBytes: segmentBytes }),
    });
    expect(file).toBe(text);
    expect(spare).toBe("y".repeat(3000));
    expect(answers).toEqual([ack(3100), ack(6100)]);
    expect(reports.map((report) => report.kind)).toEqual(["files", "linkEnded"]);
    expect(shared.place).toMatchObject({ fd: spareFd, sequence: 2, firstLsn: 3100n });
  });

  it("says full when there is no space for another file, and takes what fits", () => {
    const { answers } = serve({
      chunks: [
        anAppend({ lsn: 100, text: "x".repeat(3000) }),
        anAppend({ lsn: 3100, text: "y".repeat(3000) }),
        anAppend({ lsn: 3100, text: "z" }),
      ],
      arrange: (shared) => shared.offerSpare({ state: "noSpace", fd: -1, sizeBytes: 0 }),
    });
    expect(answers).toEqual([
      ack(3100),
      { kind: "refuse", epoch: 5, promised: 5, reason: "full" },
      ack(3101),
    ]);
  });

  it("acknowledges nothing after a failed write, and gives the grant back", () => {
    const { answers, reports, shared } = serve({
      chunks: [anAppend({ lsn: 100, text: "a" }), anAppend({ lsn: 101, text: "b" })],
      failsAt: 2,
    });
    expect(answers).toEqual([ack(101)]);
    expect(reports).toEqual([{ kind: "failed", message: "EIO" }]);
    expect(shared.health).toBe("failed");
    expect(shared.takeForMain(0)).toBe(true);
    expect(shared.isHeldBy(mainHolder)).toBe(true);
  });

  it("does nothing of what an injected fault refuses, and takes it when that is over", () => {
    const faults = new SharedFaults();
    faults.set({ ...noFaults, refusedPercent: 100 });
    const chunks = [anAppend({ lsn: 100, text: "a" }), anAppend({ lsn: 100, text: "b" })];
    const during = serve({ chunks, faults });
    const refusal = { kind: "refuse", epoch: 5, promised: 5, reason: "full" };
    expect(during.answers).toEqual([refusal, refusal]);
    expect([during.file, during.shared.scl]).toEqual(["", 100n]);
    expect(during.shared.takeForMain(0)).toBe(true);
    faults.set(noFaults);
    expect(serve({ chunks, faults }).answers).toEqual([ack(101), ack(101)]);
    expect(faults.counts).toEqual({ refused: 2, delayed: 0 });
  });

  it("tells a former epoch's driver that it is stale, also where a fault refuses", () => {
    const faults = new SharedFaults();
    faults.set({ ...noFaults, refusedPercent: 100 });
    const { answers } = serve({ chunks: [anAppend({ lsn: 100, text: "a", epoch: 4 })], faults });
    expect(answers).toEqual([{ kind: "refuse", epoch: 4, promised: 5, reason: "stale" }]);
  });

  it("takes what an injected fault delays, and holds the grant for none of that time", () => {
    const faults = new SharedFaults();
    faults.set({ ...noFaults, delayedPercent: 100, delayMinMs: 1, delayMaxMs: 2 });
    const chunks = [anAppend({ lsn: 100, text: "a" }), anAppend({ lsn: 101, text: "b" })];
    const { answers, file } = serve({ chunks, faults });
    expect(answers).toEqual([ack(101), ack(102)]);
    expect(file).toBe("ab");
    expect(faults.counts).toEqual({ refused: 0, delayed: 2 });
  });

  it("drops a link whose bytes are not what their CRC says", () => {
    const bytes = anAppend({ lsn: 100, text: "abc" });
    for (let index = 0; index < bytes.length; index++) {
      const flipped = Buffer.from(bytes);
      flipped.writeUInt8(flipped.readUInt8(index) ^ 1, index);
      const { answers, file, shared } = serve({ chunks: [flipped] });
      expect([answers, file, shared.scl], `byte ${index}`).toEqual([[], "", 100n]);
    }
  });

  it("gives a link back with what it does not understand", () => {
    const envelope = { volumeId: volume, sender: "t", target: node, requestId: 1n };
    const foreign = encodeMessage(envelope, { kind: "inspect" });
    const { reports, file } = serve({
      chunks: [Buffer.concat([anAppend({ lsn: 100, text: "abc" }), foreign])],
    });
    expect(file).toBe("abc");
    expect(reports).toEqual([
      { kind: "linkEnded", link: 1, unread: new Uint8Array(foreign), reason: "not an append" },
    ]);
  });

  it("tells nobody of progress whom it does not concern", () => {
    const { reports } = serve({ chunks: [anAppend({ lsn: 100, text: "a" })] });
    expect(reports.map((report) => report.kind)).toEqual(["linkEnded"]);
  });

  it.each([undefined, Buffer.alloc(32, 7)])(
    "tells subscribers what it has written, as it came, and under which cut (key: %s)",
    (dataKey) => {
      const whole = anAppend({ lsn: 103, text: "def" });
      // Comes again, in part: what is new of it is told.
      const stream = [
        anAppend({ lsn: 100, text: "abc" }),
        whole,
        anAppend({ lsn: 104, text: "efg" }),
      ];
      const arrange = (shared: SharedLog): void => {
        shared.subscriberCount = 1;
        shared.cuts = 4;
      };
      const run = serve({ chunks: stream, arrange, ...(dataKey && { dataKey }) });
      const { reports, shared, promised } = run;
      // As soon as the log's end says that it is there.
      expect(promised).toEqual([3, 6, 7]);
      const told = reports.flatMap((report) => (report.kind === "recent" ? report : []));
      expect(told.map(({ cuts }) => cuts)).toEqual([4, 4, 4]);
      const pieces = told.flatMap((report) => report.pieces);
      expect(pieces.map(({ lsn, bytes }) => [lsn, Buffer.from(bytes).toString()])).toEqual([
        [100n, "abc"],
        [103n, "def"],
        [106n, "g"],
      ]);
      expect(shared.recentBytes).toBe(7);
    },
  );

  it("tells of nothing that it could not write", () => {
    const arrange = (shared: SharedLog): void => {
      shared.subscriberCount = 1;
    };
    const stream = [anAppend({ lsn: 100, text: "abc" }), anAppend({ lsn: 103, text: "def" })];
    const { reports, shared } = serve({ chunks: stream, arrange, failsAt: 2 });
    const told = reports.flatMap((report) => (report.kind === "recent" ? report.pieces : []));
    expect([told.map(({ lsn }) => lsn), shared.recentBytes]).toEqual([[100n], 3]);
  });

  it("tells nothing of a grant that ended in a failure, also not under the next one", () => {
    const arrange = (shared: SharedLog): void => {
      shared.subscriberCount = 1;
    };
    const corrupt = Buffer.from(anAppend({ lsn: 103, text: "def" }));
    corrupt.writeUInt8(corrupt.readUInt8(corrupt.length - 1) ^ 1, corrupt.length - 1);
    const chunks = [Buffer.concat([anAppend({ lsn: 100, text: "abc" }), corrupt])];
    const { reports, shared, file, again } = serve({ chunks, arrange });
    expect([file, shared.scl]).toEqual(["", 100n]);
    again([anAppend({ lsn: 100, text: "" })]);
    const told = reports.flatMap((report) => (report.kind === "recent" ? report.pieces : []));
    expect([told, shared.recentBytes]).toEqual([[], 0]);
    expect(reports.map((report) => report.kind)).toEqual(["progress", "linkEnded", "linkEnded"]);
  });

  it("tells nothing of what it could not acknowledge, also not when it was cut off since", () => {
    const arrange = (shared: SharedLog): void => {
      shared.subscriberCount = 1;
    };
    const chunks = [anAppend({ lsn: 100, text: "abc" })];
    const { reports, shared, again } = serve({ chunks, arrange, answerFailsAt: 1 });
    expect([shared.scl, shared.recentBytes]).toEqual([103n, 0]);
    expect(reports.map((report) => report.kind)).toEqual(["progress", "linkEnded"]);
    Object.assign(shared, { promised: epoch(6), accepted: epoch(6), scl: at(100), cuts: 1 });
    again([anAppend({ lsn: 100, text: "x", epoch: 6 })]);
    const told = reports.flatMap((report) => (report.kind === "recent" ? report : []));
    expect(told.map(({ cuts, pieces }) => [cuts, pieces.map((piece) => piece.epoch)])).toEqual([
      [1, [epoch(6)]],
    ]);
  });

  it("says of some frames where they begin, whoever follows the log", () => {
    const text = "x".repeat(1_000);
    const chunks = Array.from({ length: 600 }, (_, index) =>
      anAppend({ lsn: 100 + index * text.length, text }),
    );
    const { reports, file, files } = serve({ chunks, fileBytes: 1024 * 1024 });
    expect(file).toHaveLength(600_000);
    const marks = reports.flatMap((report) => (report.kind === "mark" ? report : []));
    expect(marks.map(({ sequence }) => sequence)).toEqual([1, 1]);
    for (const { place } of marks) {
      const step = scanFrame(files.get(fileFd) ?? Buffer.alloc(0), place.at, place.lsn);
      expect(step.kind).toBe("frame");
    }
  });

  it("only wakes a main thread that does not keep up, and once", () => {
    const stream = [anAppend({ lsn: 100, text: "a" }), anAppend({ lsn: 101, text: "b" })];
    const arrange = (shared: SharedLog): void => {
      shared.subscriberCount = 1;
      shared.addRecent(recentBytesMax);
    };
    const { reports, shared } = serve({ chunks: stream, arrange });
    expect(reports.map((report) => report.kind)).toEqual(["progress", "linkEnded"]);
    expect(shared.recentBytes).toBe(recentBytesMax);
  });

  it("writes a file header that names the node and the first LSN", () => {
    const { shared, files } = serve({
      chunks: [anAppend({ lsn: 100, text: "abc" })],
      arrange(shared) {
        shared.place = { fd: -1, at: segmentBytes, sequence: 0, firstLsn: at(0) };
        shared.offerSpare({ state: "ready", fd: spareFd, sizeBytes: segmentBytes });
      },
    });
    expect(shared.place).toMatchObject({ fd: spareFd, sequence: 1, firstLsn: 100n });
    expect(parseFileHeader(files.get(spareFd) ?? Buffer.alloc(0))).toEqual({
      kind: "good",
      header: { volumeId: volume, nodeId: node, sequence: 1, firstLsn: 100n },
    });
  });

  it("encrypts for the file that it writes, the first one and the next", () => {
    const dataKey = Buffer.alloc(32, 7);
    const texts = ["some", "log ", "x".repeat(3500), "more log"];
    let end = 100;
    const chunks = texts.map((text) => {
      const append = anAppend({ lsn: end, text });
      end += text.length;
      return append;
    });
    const { files, shared } = serve({
      chunks: [Buffer.concat(chunks)],
      dataKey,
      arrange: (log) => log.offerSpare({ state: "ready", fd: spareFd, sizeBytes: segmentBytes }),
    });
    expect(shared.scl).toBe(at(end));
    const keys = { current: 3, keys: new Map([[3, dataKey]]), acceptsPlain: false };
    const cipher = new LogCipher(
      { volumeId: volume, nodeId: node },
      { keys, entropy: realEntropy },
    );
    let read = "";
    let expected = at(100);
    for (const [fd, sequence] of [[fileFd, 1] as const, [spareFd, 2] as const]) {
      const bytes = files.get(fd) ?? Buffer.alloc(0);
      const file = { sequence, firstLsn: expected };
      for (let next = fileHeaderBytes; ;) {
        const step = scanFrame(bytes, next, expected);
        if (step.kind !== "frame") break;
        const { header } = step;
        expect(header.keyId).toBe(3);
        read += cipher.open(file, { header, bytes, at: step.at })?.toString() ?? "?";
        expected = frameEnd(header);
        next = step.nextAt;
      }
    }
    expect(read).toBe(texts.join(""));
  });
});
