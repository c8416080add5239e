/** Storage nodes as real processes, and a hand-driven driver for them. */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes, randomUUID } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32c } from "../../src/base/crc32c.ts";
import { BorealisError } from "../../src/base/errors.ts";
import { epoch, type NodeId, nodeId, timeline, volumeId } from "../../src/base/ids.ts";
import { advance, type Lsn, lsn } from "../../src/base/lsn.ts";
import { type Connection, realClock } from "../../src/io/index.ts";
import { dataKeyBytes, encodeDataKeys } from "../../src/keys/index.ts";
import {
  appendHeaderBytes,
  type AppendAnswer,
  type Configuration,
  decodeMessage,
  extendHistory,
  type History,
  memberSet,
  MessageFramer,
  NodeLink,
  openLink,
  type QuorumMessage,
  uuidToBytes,
  writeAppendHeader,
} from "../../src/quorum/index.ts";
import { type AppendPath, formatStorageNode } from "../../src/storage-node/index.ts";
import { builtDir } from "./compiled.ts";
import { eventually } from "./eventually.ts";

export const base: Lsn = lsn(0x100_0000n);

/** As eventually, for hosts whose disks and processors are busy with other tests: a sync alone may take a second. */
export function patiently<T>(
  what: string,
  probe: () => Promise<T | false | undefined> | T | false | undefined,
): Promise<T> {
  return eventually(what, probe, 60_000);
}

/** The program of a storage node, as clusters run it. */
export async function storageNodeProgram(): Promise<string> {
  return join(await builtDir(), "app", "storage-node.js");
}

/** A group of nodes of one volume in a temporary folder. */
export class NodeGroup {
  readonly root = mkdtempSync(join(tmpdir(), "bn-"));
  readonly volumeId = volumeId(randomUUID());
  readonly dataKeys = encodeDataKeys({
    current: 1,
    keys: new Map([[1, randomBytes(dataKeyBytes)]]),
    acceptsPlain: false,
  });
  readonly nodes: NodeProcess[] = [];

  static async create(program: string, names: readonly string[]): Promise<NodeGroup> {
    const group = new NodeGroup();
    for (const name of names) group.nodes.push(new NodeProcess(group, name, program));
    for (const node of group.nodes) {
      await formatStorageNode(node.dir, { volumeId: group.volumeId, nodeId: node.nodeId, base });
    }
    return group;
  }

  get configuration(): Configuration {
    const members = this.nodes.map(({ nodeId }) => ({ nodeId, az: "a", kind: "full" as const }));
    return { id: { epoch: epoch(0), version: 1 }, sets: [memberSet(members)] };
  }

  node(index: number): NodeProcess {
    const node = this.nodes[index];
    if (!node) throw new Error(`no node ${index}`);
    return node;
  }

  async destroy(): Promise<void> {
    for (const node of this.nodes) await node.kill("SIGKILL");
    rmSync(this.root, { recursive: true, force: true });
  }
}

export class NodeProcess {
  readonly nodeId: NodeId = nodeId(randomUUID());
  readonly dir: string;
  readonly socketPath: string;
  private child: ChildProcess | undefined;
  private readonly group: NodeGroup;
  private readonly name: string;
  private readonly program: string;

  constructor(group: NodeGroup, name: string, program: string) {
    this.group = group;
    this.name = name;
    this.program = program;
    this.dir = join(group.root, name);
    this.socketPath = join(group.root, `${name}.sock`);
  }

  get pid(): number {
    return this.child?.pid ?? 0;
  }
  get logText(): string {
    const path = `${this.dir}.log`;
    return existsSync(path) ? readFileSync(path, "utf8") : "";
  }

  start(options: { appendPath?: AppendPath; kind?: "full" | "tail" } = {}): void {
    const peers = this.group.nodes
      .filter((peer) => peer !== this)
      .map(({ nodeId, name, socketPath: address }) => ({ nodeId, name, address }));
    const config = {
      volumeId: this.group.volumeId,
      nodeId: this.nodeId,
      name: this.name,
      dir: this.dir,
      address: this.socketPath,
      peers,
      segmentBytes: 2 * 1024 * 1024,
      dataKeys: this.group.dataKeys,
      logFile: `${this.dir}.log`,
      ...options,
    };
    const child = spawn(process.execPath, [this.program, this.name], {
      stdio: ["pipe", "ignore", "pipe"],
    });
    // A node that refuses to start may be gone before it has read this.
    child.stdin.on("error", () => undefined);
    child.stdin.write(`${JSON.stringify(config)}\n`);
    this.child = child;
  }

  /** Ends the process and waits until it is gone; gives how it went. */
  async kill(signal: NodeJS.Signals): Promise<string> {
    const { child } = this;
    if (!child) return "not running";
    if (child.exitCode === null && child.signalCode === null) {
      const gone = once(child, "exit");
      child.kill(signal);
      await gone;
    }
    this.child = undefined;
    return child.signalCode ?? `exit ${child.exitCode}`;
  }

  /** Resolves when the process has ended by itself. */
  async untilGone(): Promise<void> {
    await patiently("the process has ended", () => {
      const { child } = this;
      return child === undefined || child.exitCode !== null || child.signalCode !== null;
    });
    this.child = undefined;
  }

  /** A control link, as soon as the node listens. */
  link(): Promise<NodeLink> {
    const options = { ...this.linkOptions(), timeoutMs: 5_000 };
    return patiently(`${this.name} listens`, () =>
      NodeLink.open(options).catch((error: unknown) => {
        if (error instanceof BorealisError && error.safeToRetry) return undefined;
        throw error;
      }),
    );
  }

  linkOptions() {
    const { socketPath, nodeId } = this;
    return {
      address: { kind: "unix", path: socketPath } as const,
      volumeId: this.group.volumeId,
      nodeId,
      sender: "test",
      clock: realClock,
    };
  }

  async appender(): Promise<Appender> {
    const { connection, early } = await openLink(this.linkOptions(), "append");
    return new Appender(connection, early, this.group.volumeId, this.nodeId);
  }
}

/** One append link. What it sends at an LSN is a function of the LSN, so that any reader can check it. */
export class Appender {
  readonly answers: AppendAnswer[] = [];
  isClosed = false;
  private readonly connection: Connection;
  private readonly ids: { volume: Buffer; node: Buffer };
  private readonly framer = new MessageFramer();
  private requestId = 0n;

  constructor(connection: Connection, early: Buffer, volume: string, node: string) {
    this.connection = connection;
    this.ids = { volume: uuidToBytes(volume), node: uuidToBytes(node) };
    connection.onEnd(() => connection.end());
    connection.onClose(() => {
      this.isClosed = true;
    });
    const onData = (chunk: Buffer): void => {
      for (const bytes of this.framer.push(chunk)) {
        const { message } = decodeMessage(Buffer.from(bytes));
        if (message.kind === "appendAck" || message.kind === "gap" || message.kind === "refuse") {
          this.answers.push(message);
        }
      }
    };
    if (early.length > 0) onData(early);
    connection.onData(onData);
  }

  /** Highest SCL acknowledged. */
  get acked(): Lsn {
    let best = lsn(0n);
    for (const one of this.answers) if (one.kind === "appendAck" && one.scl > best) best = one.scl;
    return best;
  }

  send(of: number, at: Lsn, length: number, vdl: Lsn = lsn(0n)): Lsn {
    const payload = bytesAt(at, length);
    const bytes = Buffer.alloc(appendHeaderBytes + length);
    payload.copy(bytes, appendHeaderBytes);
    writeAppendHeader(bytes, this.ids, {
      requestId: ++this.requestId,
      epoch: epoch(of),
      timeline: timeline(of),
      lsn: at,
      vdl,
      payloadBytes: length,
      payloadCrc: crc32c(payload),
    });
    this.connection.write(bytes);
    return advance(at, length);
  }

  sendRaw(bytes: Buffer): void {
    this.connection.write(bytes);
  }

  async untilAcked(scl: Lsn): Promise<void> {
    await patiently(`${scl} is acknowledged`, () => this.acked >= scl);
  }

  close(): void {
    this.connection.destroy();
  }
}

/** The bytes that every test driver sends at an LSN. */
export function bytesAt(at: Lsn, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  let x = Number(at & 0xffff_ffffn);
  for (let i = 0; i < length; i++, x++) bytes[i] = (Math.imul(x, 2654435761) >>> 24) | 1;
  return bytes;
}

type Claimed = Extract<QuorumMessage, { kind: "promise" }>;

export async function claim(link: NodeLink, of: number, claimId: string): Promise<Claimed> {
  const answer = await link.request({ kind: "claim", epoch: epoch(of), claimId, claimant: "test" });
  if (answer.kind !== "promise") throw new Error(`claim ${of}: ${answer.kind}`);
  return answer;
}

/** Elects `of` on the path that the promise shows, from `start` on; gives the new path. */
export async function elect(
  link: NodeLink,
  group: NodeGroup,
  facts: { of: number; claimId: string; start: Lsn; history: History; low?: Lsn },
): Promise<History> {
  const { of, claimId, start } = facts;
  const entry = { epoch: epoch(of), timeline: timeline(of), start, kind: "branch" } as const;
  const history = extendHistory(facts.history, entry);
  const configuration = { ...group.configuration, id: { epoch: epoch(of), version: 1 } };
  const answer = await link.request({
    kind: "elect",
    epoch: epoch(of),
    claimId,
    history,
    start,
    configuration,
    low: facts.low ?? base,
    floor: base,
  });
  if (answer.kind !== "electAck") throw new Error(`elect ${of}: ${answer.kind}`);
  return history;
}

/** Claims and elects in one go, at the node's SCL unless told. */
export async function own(link: NodeLink, group: NodeGroup, of: number, start?: Lsn) {
  const claimId = randomUUID();
  const promise = await claim(link, of, claimId);
  const facts = { of, claimId, start: start ?? promise.scl, history: promise.history };
  const history = await elect(link, group, facts);
  return { promise, history };
}

/** The node's log [from, to), read by GetLog. */
export async function readLog(link: NodeLink, from: Lsn, to: Lsn): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for (let at = from; at < to;) {
    const answer = await link.request({
      kind: "getLog",
      path: "current",
      from: at,
      to,
      maxVdl: false,
    });
    if (answer.kind !== "logData") throw new Error(`log at ${at}: ${answer.kind}`);
    const before = at;
    for (const run of answer.runs) {
      pieces.push(run.bytes);
      at = advance(at, run.bytes.length);
    }
    if (at === before) throw new Error(`no log at ${at}`);
  }
  return Buffer.concat(pieces);
}

export async function stateOf(link: NodeLink) {
  const answer = await link.request({ kind: "inspect" });
  if (answer.kind !== "state") throw new Error(`inspect: ${answer.kind}`);
  return answer;
}
