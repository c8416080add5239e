import { BorealisError, sqlState } from "../base/errors.ts";
import { type Epoch, epochNone } from "../base/ids.ts";
import { type Clock, type Entropy, type Logger, sleep } from "../io/index.ts";
import type { QuorumMessage, ReceivedMessage, Refuse } from "../quorum/index.ts";
import type { StorageNodeConfig } from "./node-config.ts";
import { diskRequests, FaultBook, type FaultReport, parseFaultOrder } from "./faults.ts";
import { type Fate, randomOf, SharedFaults } from "./shared-faults.ts";

export interface FaultsDeps extends Pick<StorageNodeConfig, "nodeId" | "volumeId"> {
  readonly clock: Clock;
  readonly entropy: Entropy;
  readonly logger: Logger;
}

/** What is done with a message of a link. */
export interface LinkPasses {
  /** The node hears it. */
  readonly serve: (received: ReceivedMessage) => void;
  readonly answer: (requestId: bigint, message: QuorumMessage) => void;
  /** Whoever sent it is still there. */
  readonly isOpen: () => boolean;
  readonly promised: () => Epoch;
}

/**
 * Stands before a node's acceptor and its objects, and has requests refused, or wait, that have met an injected fault: nothing of
 * a refused one was done, and nobody is told that it was. Appends that threads serve are judged there (append-worker-shell.ts).
 */
export class Faults {
  readonly shared = new SharedFaults();
  private readonly deps: FaultsDeps;
  private readonly book = new FaultBook(this.shared);

  constructor(deps: FaultsDeps) {
    this.deps = deps;
  }

  get report(): FaultReport {
    return this.book.report;
  }

  /** Begins one, and gives what lasts from now on. Raises BorealisError 22023. */
  inject(raw: unknown): FaultReport {
    const { clock, logger } = this.deps;
    const fault = this.book.begin(parseFaultOrder(raw), {
      nowMs: clock.nowMs(),
      wallMs: clock.wallMs(),
    });
    const until = new Date(fault.untilMs).toISOString();
    logger.warn({ event: "fault.injected", ...fault }, `injected fault, until ${until}`);
    return this.report;
  }

  /** Now and then: whoever asked for a fault may be gone. */
  tick(): void {
    const { clock, logger } = this.deps;
    for (const { kind } of this.book.takeEnded(clock.nowMs()))
      logger.info({ event: "fault.ended", kind, ...this.shared.counts }, "injected fault is over");
  }

  /** A message has come from outside. */
  meet(received: ReceivedMessage, passes: LinkPasses): void {
    const fate = this.fateOf(received);
    if (fate.kind === "served") return passes.serve(received);
    if (fate.kind === "refused") {
      const { envelope, message } = received;
      const epoch = "epoch" in message ? message.epoch : epochNone;
      // As one whose disk has no room: it takes nothing, and has done nothing.
      const refusal: Refuse = {
        kind: "refuse",
        epoch,
        promised: passes.promised(),
        reason: "full",
      };
      return passes.answer(envelope.requestId, refusal);
    }
    const kept = keep(received);
    this.deps.clock.after(fate.ms, () => {
      if (passes.isOpen()) passes.serve(kept);
    });
  }

  /** A request for objects. Raises 58030 if it is refused; resolves when it may be served. */
  async meetObjects(): Promise<void> {
    if (!(await this.meetFill()))
      throw new BorealisError(sqlState.ioError, "refused by an injected fault");
  }

  /**
   * Log that the node would fetch from a peer: it needs the disk no less than an Append, and is acknowledged like one. False:
   * refused; resolves when it may be fetched.
   */
  async meetFill(): Promise<boolean> {
    const fate = this.shared.judge(this.random);
    if (fate.kind === "delayed") await sleep(this.deps.clock, fate.ms);
    return fate.kind !== "refused";
  }

  private fateOf({ envelope, message }: ReceivedMessage): Fate {
    const { nodeId, volumeId } = this.deps;
    const isOurs = envelope.target === nodeId && envelope.volumeId === volumeId;
    if (!isOurs || !diskRequests.has(message.kind)) return { kind: "served" };
    return this.shared.judge(this.random);
  }

  private readonly random = (): number => randomOf(this.deps.entropy);
}

/** Its bytes are borrowed. */
function keep(received: ReceivedMessage): ReceivedMessage {
  const { message } = received;
  if (message.kind !== "append") return received;
  return { ...received, message: { ...message, payload: Buffer.from(message.payload) } };
}
