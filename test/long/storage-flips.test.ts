/**
 * A flipped byte anywhere in a node's files is detected, healed, and never served: a hundred places in each kind of file,
 * half of them under a running node, half of them while it is down.
 */
import { randomUUID } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { epoch } from "../../src/base/ids.ts";
import { advance, bytesBetween, type Lsn } from "../../src/base/lsn.ts";
import { type Rng, seededRng } from "../../src/base/rng.ts";
import { epochAt, type History, type ScrubReport } from "../../src/quorum/index.ts";
import { fileHeaderBytes, parseFileHeader, storedBytes } from "../../src/storage-node/frame.ts";
import { findFrames } from "../../src/storage-node/frame-scan.ts";
import { slotBytes, stateFileBytes } from "../../src/storage-node/state-slots.ts";
import { syncMarkBytes } from "../../src/storage-node/sync-mark.ts";
import { LocalNodes } from "../helpers/storage-nodes.ts";
import { base, bytesAt, patiently, readLog, stateOf } from "../helpers/storage-process.ts";

const placesOfKind = 100;
/** The node that rots; the others are well. */
const victim = 0;

/** A volume that has gone back once and has a clone: current log, a retired tail, a pin partly pulled from a peer. */
interface Volume {
  readonly local: LocalNodes;
  readonly first: History;
  readonly path: History;
  readonly fork: Lsn;
  /** End of epoch 1. */
  readonly oldEnd: Lsn;
  readonly end: Lsn;
  readonly pinTo: Lsn;
}

let volume: Volume;
beforeAll(async () => {
  volume = await aVolume();
});
afterAll(() => volume.local.close());

async function aVolume(): Promise<Volume> {
  const local = await LocalNodes.start(["a", "b", "c"]);
  const all = [0, 1, 2];
  const first = await local.elect(all, { of: 1, path: [], start: base });
  const oldEnd = await local.append(all, { of: 1, from: base, pieces: 70, length: 14_000 });
  const fork = advance(base, 700_500);
  const pinTo = advance(base, 300_000);
  const pin = { pinId: randomUUID(), path: first, from: base, to: pinTo };
  for (const node of all) {
    const answer = await local.ask(node, { kind: "pin", epoch: epoch(1), ...pin });
    expect(answer).toMatchObject({ kind: "pinAck" });
  }
  const path = await local.elect(all, { of: 2, path: first, start: fork, kind: "backtrack" });
  const end = await local.append(all, { of: 2, from: fork, pieces: 25, length: 8_000 });
  return { local, first, path, fork, oldEnd, end, pinTo };
}

interface Place {
  readonly file: string;
  readonly at: number;
}

function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .map((name) => join(folder, name))
    .filter((path) => path.endsWith(".log"));
}

interface LogFile {
  readonly path: string;
  readonly bytes: Buffer;
  readonly firstLsn: Lsn;
  /** Where its log ends: the next file of the folder begins there, whatever this one holds beyond. */
  readonly limit: Lsn | undefined;
}

/** Files that hold log; those that come or go meanwhile are somebody else's. */
function logFiles(folder: string): LogFile[] {
  const files: LogFile[] = [];
  for (const path of filesIn(folder).toSorted().toReversed()) {
    let bytes: Buffer;
    try {
      bytes = readFileSync(path);
    } catch {
      continue;
    }
    const parsed = parseFileHeader(bytes);
    if (parsed.kind !== "good") continue;
    const { firstLsn } = parsed.header;
    const later = files.filter((one) => dirname(one.path) === dirname(path));
    const limit = later.map((one) => one.firstLsn).toSorted((a, b) => (a < b ? -1 : 1))[0];
    files.push({ path, bytes, firstLsn, limit });
  }
  return files;
}

/** Bytes of frames that count as log of [from, to) on this path. */
function framePlaces(folder: string, path: History, from: Lsn, to: Lsn): (rng: Rng) => Place {
  const spans = logFiles(folder).flatMap((file) =>
    findFrames(file.bytes)
      .filter(({ header }) => header.lsn >= from && header.lsn < to)
      .filter(({ header }) => file.limit === undefined || header.lsn < file.limit)
      .filter(({ header }) => header.epoch === epochAt(path, header.lsn))
      .map(({ header, at }) => ({ file: file.path, at, length: storedBytes(header) })),
  );
  return (rng) => {
    const span = spans[rng.below(spans.length)];
    if (!span) throw new Error(`no frames in ${folder}`);
    return { file: span.file, at: span.at + rng.below(span.length) };
  };
}

function headerPlaces(folder: string): (rng: Rng) => Place {
  const files = logFiles(folder).filter(
    ({ bytes, firstLsn, limit }) =>
      findFrames(bytes).length > 0 && (limit === undefined || firstLsn < limit),
  );
  return (rng) => {
    const file = files[rng.below(files.length)]?.path;
    if (file === undefined) throw new Error(`no files in ${folder}`);
    return { file, at: rng.below(fileHeaderBytes) };
  };
}

/** The slots' own bytes: head, body and CRC. */
function statePlaces(file: string): (rng: Rng) => Place {
  return (rng) => {
    const slot = rng.below(stateFileBytes / slotBytes) * slotBytes;
    const length = 20 + readFileSync(file).readUInt32BE(slot + 4);
    return { file, at: slot + rng.below(length) };
  };
}

/** Gives the byte that is there now. */
function flip({ file, at }: Place, rng: Rng): number {
  const bytes = readFileSync(file);
  const bad = bytes.readUInt8(at) ^ (1 << rng.below(8));
  bytes.writeUInt8(bad, at);
  writeFileSync(file, bytes);
  return bad;
}

/** Everything that this node serves is right; what it does not serve, it says so. */
async function checkServed(): Promise<void> {
  const { local, first, path, fork, oldEnd, end, pinTo } = volume;
  const asked: [History | "current", Lsn, Lsn][] = [
    ["current", base, end],
    [path, fork, end],
    [first, fork, oldEnd],
    [first, base, pinTo],
  ];
  for (const [of, from, to] of asked) {
    for (let at = from; at < to;) {
      const link = await local.on(victim);
      const answer = await link
        .request({ kind: "getLog", path: of, from: at, to, maxVdl: false }, { timeoutMs: 5_000 })
        .catch(() => undefined);
      if (answer?.kind !== "logData" || answer.runs.length === 0) break;
      for (const run of answer.runs) {
        expect(bytesAt(at, run.bytes.length).equals(run.bytes), `served at ${at}`).toBe(true);
        const wanted = of === "current" ? path : of;
        expect(run.epoch).toBe(epochAt(wanted, at));
        at = advance(at, run.bytes.length);
      }
    }
  }
}

/** Scrubs until a pass finds everything good, and gives that pass's report. */
async function scrubbed(): Promise<ScrubReport> {
  const report = await patiently("a scrub finds all well", async () => {
    const link = await volume.local.on(victim).catch(() => undefined);
    const answer = await link
      ?.request({ kind: "scrub" }, { timeoutMs: 20_000 })
      .catch(() => undefined);
    return answer?.kind === "scrubReport" && answer.unhealed === 0 ? answer : undefined;
  });
  return report;
}

async function expectAllWell(nodes: readonly number[]): Promise<void> {
  const { local, first, fork, oldEnd, end, pinTo } = volume;
  await local.untilHealthy(victim, end);
  for (const node of nodes) {
    const log = await readLog(await local.on(node), base, end);
    expect(log.equals(bytesAt(base, bytesBetween(base, end)))).toBe(true);
  }
  // What is kept aside has every byte again.
  for (const [from, to] of [
    [fork, oldEnd],
    [base, pinTo],
  ] as const) {
    let at: Lsn = from;
    while (at < to) {
      const answer = await local.ask(victim, {
        kind: "getLog",
        path: first,
        from: at,
        to,
        maxVdl: false,
      });
      if (answer.kind !== "logData") throw new Error(`at ${at}: ${answer.kind}`);
      for (const run of answer.runs) {
        expect(bytesAt(at, run.bytes.length).equals(run.bytes)).toBe(true);
        at = advance(at, run.bytes.length);
      }
    }
  }
  expect(await stateOf(await local.on(victim))).toMatchObject({ promised: 2, accepted: 2 });
}

interface Kind {
  readonly name: string;
  /** Flips at a time: copies of one thing are one thing. */
  readonly atOnce: number;
  /** A running node writes it anew now and then, which mends it without anybody having looked. */
  readonly isRewritten?: boolean;
  readonly places: () => (rng: Rng) => Place;
}

const dirOf = (...names: string[]): string => join(volume.local.group.node(victim).dir, ...names);
const kinds: Kind[] = [
  {
    name: "frames of the log",
    atOnce: 10,
    places: () => framePlaces(dirOf("log"), volume.path, base, volume.end),
  },
  { name: "headers of log files", atOnce: 5, places: () => headerPlaces(dirOf("log")) },
  {
    name: "frames of a retired tail",
    atOnce: 5,
    places: () => framePlaces(dirOf("retired"), volume.first, volume.fork, volume.oldEnd),
  },
  { name: "headers of a retired tail", atOnce: 5, places: () => headerPlaces(dirOf("retired")) },
  {
    name: "frames of a pin",
    atOnce: 5,
    places: () => framePlaces(dirOf("pins"), volume.first, base, volume.pinTo),
  },
  { name: "headers of a pin", atOnce: 5, places: () => headerPlaces(dirOf("pins")) },
  { name: "the state", atOnce: 1, places: () => statePlaces(dirOf("state")) },
  {
    name: "the sync mark",
    atOnce: 1,
    isRewritten: true,
    places: () => (rng) => ({ file: dirOf("mark"), at: rng.below(syncMarkBytes) }),
  },
];

describe.each(kinds)("flipped bits in $name", ({ name, atOnce, places, isRewritten }) => {
  it.each([
    ["under a running node", false],
    ["while the node is down", true],
  ])("%s are found, healed, and never served", async (_, isDown) => {
    const rng = seededRng(name.length * 1_000 + (isDown ? 1 : 0));
    let before: number | undefined;
    const rounds = Math.ceil(placesOfKind / 2 / atOnce);
    for (let round = 0; round < rounds; round++) {
      const draw = places();
      // The same bit twice is none.
      const all = Array.from({ length: atOnce }, () => draw(rng));
      const drawn = [...new Map(all.map((one) => [`${one.file} ${one.at}`, one])).values()];
      before ??= (await scrubbed()).healed;
      const { starts } = volume.local;
      const started = starts[victim] ?? 0;
      if (isDown) await volume.local.stop(victim);
      const bad = drawn.map((place) => flip(place, rng));
      if (isDown) await volume.local.start(victim);
      await checkServed();
      const { healed } = await scrubbed();
      const isAnew = (starts[victim] ?? 0) > started;
      const what = `round ${round}: ${JSON.stringify(drawn)} ${volume.local.fatal.map(String).join()}`;
      if (isRewritten && !isDown) {
        const now = drawn.map(({ file, at }) => readFileSync(file).readUInt8(at));
        expect(now, what).not.toEqual(bad);
      } else {
        expect(healed, what).toBeGreaterThan(isAnew ? 0 : before);
      }
      before = healed;
      await expectAllWell([victim]);
    }
    await expectAllWell([0, 1, 2]);
  });
});
