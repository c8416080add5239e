import pg from "pg";
import { instanceId } from "../../src/base/ids.ts";
import { OutcomeUnknown } from "../../src/base/errors.ts";
import { openLogger, realClock, realEntropy, type TlsIdentity } from "../../src/io/index.ts";
import {
  type Auditor,
  type EndpointLimits,
  type EndpointServer,
  type PoolingOptions,
  type ReadGates,
  startEndpoints,
  type Target,
  type TokenLogins,
  type Topology,
  type WriterLife,
} from "../../src/session/index.ts";
import type { StockPostgres } from "./stock-postgres.ts";

/** A topology that a test sets by hand. */
export class PlainTopology implements Topology {
  private readonly listeners = new Set<() => void>();
  known: readonly WriterLife[] = [];
  private isSetBack = false;
  private leaving: string | undefined;
  private silent: string | undefined;
  current: { writer: Target | undefined; reader: Target | undefined };

  constructor(writer: Target | undefined, reader?: Target) {
    this.current = { writer, reader };
  }
  writer(): Target | undefined {
    return this.current.writer;
  }
  reader(): Target | undefined {
    return this.current.reader ?? this.current.writer;
  }
  whyNobody(): string | undefined {
    return undefined;
  }
  custom(): Target | undefined {
    return this.reader();
  }
  instance(id: string): Target | undefined {
    return [this.current.writer, this.current.reader].find((target) => target?.instanceId === id);
  }
  hasEnded(target: Target): boolean {
    // It is there, and is not to be had.
    if (this.isSilent(target)) return false;
    // Here a writer and a reader may be one PostgreSQL, of one name.
    const { writer, reader } = this.current;
    const isSame = (one: Target | undefined): boolean =>
      one?.incarnation === target.incarnation && one.role === target.role;
    if (isSame(writer) || isSame(reader)) return false;
    const now = this.instance(target.instanceId);
    return (
      now !== undefined && (now.incarnation !== target.incarnation || now.role !== target.role)
    );
  }
  isLeaving(target: Target): boolean {
    return this.leaving === target.incarnation;
  }
  isSilent(target: Target): boolean {
    return this.silent === target.incarnation;
  }
  /** The reader answers nothing; undefined: it does, and is the one that it was. */
  silence(reader: Target | undefined, back = this.current.reader): void {
    this.silent = reader?.incarnation;
    this.set({ writer: this.current.writer, reader: reader ? undefined : back });
  }
  /** The writer hands over: it is there still, and nobody is sent there. */
  handOver(): void {
    const { writer, reader } = this.current;
    this.leaving = writer?.incarnation;
    this.set({ writer: undefined, reader: reader ?? writer });
  }
  /** ... which comes to nothing, or did not begin. */
  staysWriter(writer: Target | undefined): void {
    this.leaving = undefined;
    this.silent = undefined;
    this.set({ writer, reader: undefined });
  }
  lives(): readonly WriterLife[] {
    return this.known;
  }
  onChange(fn: () => void): () => void {
    this.listeners.add(fn);
    return () => this.listeners.delete(fn);
  }
  isRewinding(): boolean {
    return this.isSetBack;
  }
  setBack(isSetBack: boolean): void {
    this.isSetBack = isSetBack;
    for (const listener of this.listeners) listener();
  }
  set(current: PlainTopology["current"]): void {
    this.current = current;
    for (const listener of this.listeners) listener();
  }
}

/** VDL that moves only when the test says so. */
export class HeldVdl {
  readonly waits: { upTo: string; resolve: () => void; reject: (error: Error) => void }[] = [];
  isFrozen = false;

  readonly awaitDurable = {
    untilFlushed: (): Promise<void> => this.wait("flushed"),
    untilInserted: (): Promise<void> => this.wait("inserted"),
    untilParametersKept: async (): Promise<undefined> => {
      await this.wait("parameters");
      return undefined;
    },
  };
  advance(): void {
    for (const { resolve } of this.waits.splice(0)) resolve();
  }
  lose(): void {
    for (const { reject } of this.waits.splice(0)) reject(new OutcomeUnknown("the writer is gone"));
  }
  private wait(upTo: string): Promise<void> {
    if (!this.isFrozen) return Promise.resolve();
    return new Promise((resolve, reject) => this.waits.push({ upTo, resolve, reject }));
  }
}

export interface TestEndpoints {
  readonly server: EndpointServer;
  readonly topology: PlainTopology;
  readonly vdl: HeldVdl;
  readonly port: number;
  readonly readerPort: number;
  close(): Promise<void>;
}

export function targetOf(
  postgres: StockPostgres,
  role: Target["role"] = "writer",
  incarnation = "1",
): Target {
  return { instanceId: instanceId("instance-1"), role, address: postgres.address, incarnation };
}

export async function openEndpoints(
  postgres: StockPostgres,
  options: {
    tls?: TlsIdentity & { mode: "prefer" | "require" };
    limits?: Partial<EndpointLimits>;
    gates?: ReadGates;
    pooling?: Partial<PoolingOptions>;
    tokenLogins?: TokenLogins;
    auditor?: Auditor;
    logFile?: string;
  } = {},
): Promise<TestEndpoints> {
  const topology = new PlainTopology(targetOf(postgres));
  const vdl = new HeldVdl();
  const address = { kind: "tcp", host: "127.0.0.1", port: 0 } as const;
  const server = await startEndpoints({
    endpoints: [
      { id: "writer", type: "writer", address },
      { id: "reader", type: "reader", address },
    ],
    tls: options.tls,
    topology,
    awaitDurable: vdl.awaitDurable,
    gates: options.gates,
    clock: realClock,
    entropy: realEntropy,
    logger: openLogger({ file: options.logFile, process: "test" }),
    tokenLogins: options.tokenLogins,
    auditor: options.auditor,
    ...(options.limits && { limits: options.limits }),
    ...(options.pooling && { pooling: options.pooling }),
  });
  const portOf = (id: string): number => {
    const bound = server.addressOf(id);
    if (bound?.kind !== "tcp") throw new Error(`${id} listens on no port`);
    return bound.port;
  };
  return {
    server,
    topology,
    vdl,
    port: portOf("writer"),
    readerPort: portOf("reader"),
    close: () => server.close(),
  };
}

/** A node-postgres client that is connected; end() it. */
export async function connectTo(port: number, config: pg.ClientConfig = {}): Promise<pg.Client> {
  const client = new pg.Client({
    host: "127.0.0.1",
    port,
    user: "postgres",
    password: "secret",
    database: "postgres",
    ...config,
  });
  // Ends that a test provokes are seen by the query that they hit.
  client.on("error", () => undefined);
  await client.connect();
  return client;
}

/** Cancels what a node-postgres client has under way, through this port. */
export function cancelAt(port: number, client: pg.Client): void {
  const canceller = new pg.Client({ host: "127.0.0.1", port });
  // @ts-expect-error: node-postgres has it without telling
  canceller.cancel(client, client.activeQuery ?? client._activeQuery);
}

/** The SQLSTATE that it ends with, or "done". */
export async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return "done";
  } catch (error) {
    return error instanceof Error && "code" in error ? String(error.code) : String(error);
  }
}
