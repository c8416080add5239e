import { BorealisError, sqlState } from "../base/errors.ts";
import { type Clock, type Connection, dial } from "../io/index.ts";
import {
  backend,
  type BackendKey,
  encodeBackendKey,
  encodeStartup,
  loginBytesMax,
  MessageScanner,
  parseBackendKey,
  parseParameterStatus,
  parseReport,
  pgSocketPath,
  type StartupParameter,
} from "../wire/index.ts";
import type { ClientLink } from "./client-link.ts";
import type { Carried } from "./handover.ts";
import type { Lease } from "./lease.ts";
import type { Target } from "./topology.ts";

export interface BackendOptions {
  readonly clock: Clock;
  readonly parameters: readonly StartupParameter[];
  /** The client's own connection: a client that leaves ends the attempt. */
  readonly client: Pick<ClientLink, "closed">;
  readonly holdTimeoutMs: number;
  /** False: nobody is to be waited for any more. */
  readonly isWanted: () => boolean;
  /** Where to go, asked again at each attempt; undefined while there is nobody. */
  readonly findTarget: () => Target | undefined;
  /** Resolves when it may have an answer, or after a moment. */
  readonly untilChange: () => Promise<void>;
  /** Refusals, besides those of a server that comes or goes, that may pass: it tries again. */
  readonly passing?: ReadonlySet<string>;
  /** It has not answered for a while; true: there is another one to try. */
  readonly mayLeave: (target: Target) => boolean;
  /** It hangs for the cluster, or has until a moment ago, or is given up: its answer comes too late. */
  readonly isSilent: (target: Target) => boolean;
  /** Calls `fn` whenever that may be another, until the returned function is called. */
  readonly onChange?: (fn: () => void) => () => void;
  /** Does it when it is its turn. */
  readonly inTurn?: <T>(work: () => Promise<T>) => Promise<T>;
  /** The cancel key that the client gets instead of the backend's. */
  readonly clientKey: Buffer;
}

export type BackendStart =
  | BackendReady
  /** PostgreSQL's own words, for the client as they are. */
  | {
      readonly kind: "refused";
      readonly bytes: Buffer;
      readonly reason: string;
      /** The function of PostgreSQL's that says so. */
      readonly routine: string | undefined;
    }
  | { readonly kind: "nobody" };

/** A backend that starts has answered by then, except on a machine that is very busy. */
const silentMs = 2_000;

export interface BackendReady {
  readonly kind: "ready";
  readonly target: Target;
  readonly connection: Connection;
  /** From AuthenticationOk to ReadyForQuery, for the client. */
  readonly greeting: Buffer;
  readonly key: BackendKey;
  readonly parameters: ReadonlyMap<string, string>;
  /** Of a pool: how it goes back there. */
  readonly lease?: Lease;
  /** ... and what the session before has left on it; blank at first. */
  readonly carried?: Carried;
}

/** Starts a backend for a client that is logged in, waiting while the instance is away or not ready yet. */
export async function startBackend(options: BackendOptions): Promise<BackendStart> {
  const { clock, holdTimeoutMs, client } = options;
  const startMs = clock.nowMs();
  const isOver = (): boolean =>
    client.closed || !options.isWanted() || clock.nowMs() >= startMs + holdTimeoutMs;
  for (;;) {
    const start = await attempt(options, isOver);
    if (start?.kind === "ready" && options.isSilent(start.target)) start.connection.destroy();
    else if (start) return start;
    const isLate = clock.nowMs() - startMs >= holdTimeoutMs;
    if (client.closed || isLate || !options.isWanted()) return { kind: "nobody" };
    await options.untilChange();
  }
}

/** At whom it belongs at this moment. Undefined: there is nobody, or nothing came of it. */
async function attempt(
  options: BackendOptions,
  isOver: () => boolean,
): Promise<BackendStart | undefined> {
  const { inTurn } = options;
  const tryIt = async (): Promise<BackendStart | undefined> => {
    // In its turn, for which it may have waited for long: who was right before may be anything by now.
    const target = isOver() ? undefined : options.findTarget();
    return target && tryUnlessSilent(target, options, isOver);
  };
  return inTurn ? inTurn(tryIt) : tryIt();
}

/** An attempt that the cluster says to be in vain is given up at once. */
async function tryUnlessSilent(
  target: Target,
  options: BackendOptions,
  isOver: () => boolean,
): Promise<BackendStart | undefined> {
  const vain = new AbortController();
  const stop = options.onChange?.(() => {
    if (options.isSilent(target)) vain.abort(new Error("it answers nothing"));
  });
  try {
    return await tryBackend(target, { ...options, signal: vain.signal }, isOver);
  } finally {
    stop?.();
  }
}

/**
 * A reader may be promoted while its sessions are connected still. What they sent must not write then: nothing looks after
 * their commits, and who does not hear of one would have it run again.
 */
const readerParameters = [
  { name: "default_transaction_read_only", value: Buffer.from("on") },
] satisfies StartupParameter[];

/**
 * What a server says to everybody while it starts, stops or crashes: nothing of the client's is wrong. A backend that has begun
 * already says the latter two, in the place of its first ReadyForQuery.
 */
const comingOrGoing: ReadonlySet<string> = new Set([
  sqlState.cannotConnectNow,
  sqlState.adminShutdown,
  sqlState.crashShutdown,
]);

function isPassing(code: string, { passing }: Pick<BackendOptions, "passing">): boolean {
  return comingOrGoing.has(code) || passing?.has(code) === true;
}

/** One attempt at one place. Undefined: try again, or nobody waits for it any more. */
export async function tryBackend(
  target: Target,
  options: Pick<BackendOptions, "clock" | "parameters" | "mayLeave" | "clientKey" | "passing"> & {
    /** Gives the attempt up. */
    readonly signal?: AbortSignal;
  },
  isOver: () => boolean,
): Promise<BackendStart | undefined> {
  const { signal } = options;
  let connection: Connection;
  try {
    connection = await dial(
      { kind: "unix", path: pgSocketPath(target.address) },
      { isReadToEnd: true, ...(signal && { signal }) },
    );
  } catch (error) {
    if (error instanceof BorealisError && error.safeToRetry) return undefined;
    throw error;
  }
  // 3.0 whatever the client speaks: 3.2 differs in the length of cancel keys only, and the client's is ours.
  const parameters = target.role === "reader" ? readerParameters : [];
  connection.write(encodeStartup(0, [...options.parameters, ...parameters]));
  return new Promise((resolve, reject) => {
    const greeting = new Greeting(target, connection, options.clientKey);
    const { clock, mayLeave } = options;
    const noticeSilence = (): void => {
      if (isOver() || mayLeave(target)) connection.destroy();
      else timer = clock.after(silentMs, noticeSilence);
    };
    // Whoever is in a hurry gives a busy machine as long.
    let timer = clock.after(silentMs, noticeSilence);
    const giveUp = (): void => connection.destroy();
    signal?.addEventListener("abort", giveUp, { once: true });
    if (signal?.aborted === true) giveUp();
    connection.onClose(() => {
      timer.cancel();
      signal?.removeEventListener("abort", giveUp);
      resolve(undefined);
    });
    connection.onEnd(() => connection.destroy());
    connection.onData((chunk) => {
      try {
        const start = greeting.push(chunk);
        if (!start) return;
        timer.cancel();
        signal?.removeEventListener("abort", giveUp);
        if (start.kind === "ready") connection.pause();
        else connection.destroy();
        resolve(start.kind === "refused" && isPassing(start.reason, options) ? undefined : start);
      } catch (error) {
        connection.destroy();
        reject(error instanceof Error ? error : new Error(String(error)));
      }
    });
  });
}

/** What a backend says before its first ReadyForQuery. */
class Greeting {
  private readonly target: Target;
  private readonly connection: Connection;
  private readonly clientKey: Buffer;
  private readonly scanner = new MessageScanner((_, totalBytes) => {
    if (totalBytes > loginBytesMax) {
      throw new BorealisError(
        sqlState.protocolViolation,
        `message of ${totalBytes} bytes at start-up`,
      );
    }
    return totalBytes;
  });
  private readonly parts: Buffer[] = [];
  private readonly parameters = new Map<string, string>();
  private key: BackendKey | undefined;

  constructor(target: Target, connection: Connection, clientKey: Buffer) {
    this.target = target;
    this.connection = connection;
    this.clientKey = clientKey;
  }

  push(chunk: Buffer): BackendStart | undefined {
    const { scanner } = this;
    scanner.begin(chunk);
    while (scanner.next()) {
      const message = scanner.buffer.subarray(scanner.start, scanner.end);
      const body = message.subarray(5);
      if (scanner.type === backend.error) {
        this.parts.push(message);
        const report = parseReport(body);
        const reason = report.get("C") ?? "";
        return { kind: "refused", bytes: this.whole(), reason, routine: report.get("R") };
      }
      if (scanner.type === backend.backendKeyData) {
        this.key = parseBackendKey(body);
        this.parts.push(encodeBackendKey({ pid: this.key.pid, key: this.clientKey }));
        continue;
      }
      if (scanner.type === backend.parameterStatus) {
        const { name, value } = parseParameterStatus(body);
        this.parameters.set(name, value);
      }
      this.parts.push(message);
      if (scanner.type === backend.readyForQuery && this.key) return this.ready(this.key);
    }
    return undefined;
  }

  private ready(key: BackendKey): BackendReady {
    const { target, connection, parameters } = this;
    return { kind: "ready", target, connection, key, parameters, greeting: this.whole() };
  }

  private whole(): Buffer {
    return Buffer.concat(this.parts);
  }
}
