import { BorealisError, messageOf, ProtocolViolation, sqlState } from "../base/errors.ts";
import type { NodeId } from "../base/ids.ts";
import type { Rng } from "../base/rng.ts";
import { type Clock, sleep } from "../io/index.ts";
import {
  objectBytesMax,
  type ObjectMessage,
  objectNamesMax,
  type ObjectRefused,
} from "../quorum/index.ts";
import type { ObjectFacts, ObjectStore } from "../volume/index.ts";
import { type LinkOwner, linkTo, type NodeEndpoint } from "./node-endpoint.ts";
import { ObjectLink } from "./object-link-shell.ts";

export interface NodeStoreLimits {
  /** Objects on their way at the same time; further calls wait. */
  readonly parallel: number;
  readonly dialTimeoutMs: number;
  /** A node that is silent so long while it is asked something is hung up on. A sync of a busy disk takes seconds. */
  readonly answerTimeoutMs: number;
  /** For so long a call is tried again on new links, counted from the first failure since the node last answered. */
  readonly patienceMs: number;
}

const usualLimits: NodeStoreLimits = {
  parallel: 8,
  dialTimeoutMs: 2_000,
  answerTimeoutMs: 30_000,
  patienceMs: 15_000,
};
const firstDelayMs = 50;
const maxDelayMs = 1_000;
/** When patience is over, calls fail at once between two dials: hydration asks the next store, for each extent. */
const restMs = 5_000;

export interface NodeStoreOptions {
  readonly endpoint: NodeEndpoint;
  /**
   * When its sender puts or deletes, the node ends that sender's older links. So whoever puts needs a sender name that no
   * other store uses at the same time.
   */
  readonly owner: LinkOwner;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly limits?: Partial<NodeStoreLimits>;
}

/**
 * The objects that a full storage node keeps. One link, made when it is needed and again when it is lost. Every verb may be
 * repeated, so calls outlive lost links and restarts of the node.
 */
export class NodeStore implements ObjectStore {
  readonly label: string;
  private readonly options: NodeStoreOptions;
  private readonly limits: NodeStoreLimits;
  private readonly closing = new AbortController();
  private link: ObjectLink | undefined;
  private dialling: Promise<ObjectLink> | undefined;
  /** Since when it has not answered. */
  private silentSinceMs: number | undefined;
  private resting: { readonly untilMs: number; readonly why: unknown } | undefined;
  private running = 0;
  private readonly waiting: (() => void)[] = [];

  constructor(options: NodeStoreOptions) {
    this.options = options;
    this.label = options.endpoint.name;
    this.limits = { ...usualLimits, ...options.limits };
  }

  get nodeId(): NodeId {
    return this.options.endpoint.nodeId;
  }

  async put(name: string, bytes: Uint8Array): Promise<void> {
    if (bytes.length > objectBytesMax) {
      const why = `${name} has ${bytes.length} bytes, and a storage node takes ${objectBytesMax}`;
      throw new BorealisError(sqlState.ioError, why, {
        hint: "keep snapshots of this volume in an object store",
      });
    }
    await this.call(`put ${name}`, async (link) =>
      only("objectsDone", await link.put(name, bytes)),
    );
  }

  get(name: string): Promise<Buffer | undefined> {
    return this.call(`read ${name}`, async (link) => {
      let whole: Buffer | undefined;
      let at = 0;
      await link.all({ kind: "getObject", name }, (answer) => {
        if (answer.kind === "objectAbsent" && !whole) return true;
        const data = only(whole ? "objectPart" : "objectData", answer);
        if (data.kind === "objectData") whole = Buffer.allocUnsafe(data.sizeBytes);
        at = addPart(whole ?? Buffer.alloc(0), at, data.bytes);
        return at === whole?.length;
      });
      return whole;
    });
  }

  async has(names: readonly string[]): Promise<ReadonlySet<string>> {
    const found = new Set<string>();
    for (const some of inGroups(names)) {
      const { areThere } = await this.call("look for objects", async (link) =>
        only("objectsFound", await link.ask({ kind: "hasObjects", names: some })),
      );
      if (areThere.length !== some.length) throw new ProtocolViolation("an answer to other names");
      for (const [at, name] of some.entries()) if (areThere[at] === true) found.add(name);
    }
    return found;
  }

  async *list(prefix: string): AsyncGenerator<ObjectFacts> {
    for (let after = ""; ;) {
      const from = after;
      const { objects, isEnd } = await this.call("list objects", async (link) =>
        only("objectList", await link.ask({ kind: "listObjects", prefix, after: from })),
      );
      yield* objects;
      const last = objects.at(-1);
      if (isEnd || !last) return;
      if (last.name <= after) throw new ProtocolViolation("a listing that goes back");
      after = last.name;
    }
  }

  async delete(names: readonly string[]): Promise<void> {
    for (const some of inGroups(names)) {
      await this.call("delete objects", async (link) =>
        only("objectsDone", await link.ask({ kind: "deleteObjects", names: some })),
      );
    }
  }

  async tidy(beforeMs: number): Promise<void> {
    const bounded = Math.min(Math.max(0, Math.floor(beforeMs)), Number.MAX_SAFE_INTEGER);
    await this.call("tidy", async (link) =>
      only("objectsDone", await link.ask({ kind: "tidyObjects", beforeMs: bounded })),
    );
  }

  /** What is under way is raised as failed; a put among it may have come to its end. */
  close(): Promise<void> {
    this.closing.abort(new Error("the store was closed"));
    this.link?.close(new Error("the store was closed"));
    return Promise.resolve();
  }

  /** In its turn; again and again while the node cannot be reached, as long as patience lasts. */
  private async call<T>(what: string, act: (link: ObjectLink) => Promise<T>): Promise<T> {
    const { clock, rng } = this.options;
    if (this.running >= this.limits.parallel)
      await new Promise<void>((resolve) => void this.waiting.push(resolve));
    else this.running++;
    try {
      for (let delayMs = firstDelayMs; ; delayMs = Math.min(delayMs * 2, maxDelayMs)) {
        try {
          const result = await act(await this.linked());
          this.silentSinceMs = undefined;
          return result;
        } catch (error) {
          if (!this.mayTryAgain(error)) throw this.told(what, error);
        }
        await sleep(clock, delayMs * (0.5 + rng.next() / 2), this.closing.signal);
      }
    } finally {
      const next = this.waiting.shift();
      if (next) next();
      else this.running--;
    }
  }

  private mayTryAgain(error: unknown): boolean {
    const isLost = error instanceof BorealisError && error.code === sqlState.connectionFailure;
    if (!isLost) return false;
    const nowMs = this.options.clock.nowMs();
    this.silentSinceMs ??= nowMs;
    return !this.closing.signal.aborted && nowMs - this.silentSinceMs < this.limits.patienceMs;
  }

  private told(what: string, error: unknown): unknown {
    if (!(error instanceof BorealisError)) return error;
    if (error instanceof Refusal) {
      // It has answered.
      this.silentSinceMs = undefined;
      const { code, hint } = tellings[error.reason];
      return new BorealisError(code, `${this.label} cannot ${what}: ${error.message}`, { hint });
    }
    const cause = messageOf(this.closing.signal.aborted ? this.closing.signal.reason : error);
    return new BorealisError(sqlState.ioError, `cannot ${what} at ${this.label}: ${cause}`, {
      hint: "see whether that storage node is up: borealis status",
      cause: error,
    });
  }

  private async linked(): Promise<ObjectLink> {
    if (this.closing.signal.aborted)
      throw new BorealisError(sqlState.connectionFailure, "the store was closed");
    if (this.link && !this.link.closed) return this.link;
    if (this.resting && this.options.clock.nowMs() < this.resting.untilMs) throw this.resting.why;
    this.dialling ??= this.dial().finally(() => (this.dialling = undefined));
    return this.dialling;
  }

  private async dial(): Promise<ObjectLink> {
    const { endpoint, owner, clock } = this.options;
    const { dialTimeoutMs, answerTimeoutMs } = this.limits;
    const { signal } = this.closing;
    const bounds = { clock, timeoutMs: dialTimeoutMs, signal };
    const options = { ...linkTo(endpoint, owner, bounds), answerTimeoutMs };
    const link = await ObjectLink.open(options).catch((error: unknown) => {
      const nowMs = clock.nowMs();
      if (nowMs - (this.silentSinceMs ?? nowMs) >= this.limits.patienceMs)
        this.resting = { untilMs: nowMs + restMs, why: error };
      throw error;
    });
    if (signal.aborted) link.close(new Error("the store was closed"));
    this.link = link;
    return link;
  }
}

/** A node's own words. */
class Refusal extends BorealisError {
  readonly reason: ObjectRefused["reason"];
  constructor({ reason, message }: ObjectRefused) {
    super(sqlState.ioError, message);
    this.reason = reason;
  }
}

const tellings: Record<ObjectRefused["reason"], { readonly code: string; readonly hint: string }> =
  {
    noSpace: {
      code: sqlState.diskFull,
      hint: "free some space there, or delete snapshots that nobody needs",
    },
    failed: {
      code: sqlState.ioError,
      hint: "see what is wrong with that storage node: borealis status, and its log",
    },
    damaged: {
      code: sqlState.dataCorrupted,
      hint: "another copy of it is used if there is one, and heals this one",
    },
    notKept: { code: sqlState.ioError, hint: "only full storage nodes keep objects" },
  };

/** An answer of this kind. Raises a refusal, and ProtocolViolation for anything else. */
function only<K extends ObjectMessage["kind"]>(
  kind: K,
  answer: ObjectMessage,
): Extract<ObjectMessage, { readonly kind: K }> {
  if (isOfKind(kind, answer)) return answer;
  if (answer.kind === "objectRefused") throw new Refusal(answer);
  throw new ProtocolViolation(`${answer.kind} where ${kind} was expected`);
}

function isOfKind<K extends ObjectMessage["kind"]>(
  kind: K,
  message: ObjectMessage,
): message is Extract<ObjectMessage, { readonly kind: K }> {
  return message.kind === kind;
}

function addPart(whole: Buffer, at: number, part: Uint8Array): number {
  if (part.length > whole.length - at || (part.length === 0 && at < whole.length))
    throw new ProtocolViolation(`${part.length} bytes at ${at} of an object of ${whole.length}`);
  whole.set(part, at);
  return at + part.length;
}

function* inGroups(names: readonly string[]): Generator<readonly string[]> {
  for (let at = 0; at < names.length; at += objectNamesMax)
    yield names.slice(at, at + objectNamesMax);
}
