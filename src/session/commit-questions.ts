import { transactionState } from "../wire/index.ts";
import { addOwnSteps, type Cycle, newCycle } from "./cycle.ts";
import type { Exchange } from "./exchange.ts";
import type { TextPlan } from "./plan.ts";
import {
  functionProbe,
  preparedProbe,
  queryProbeSteps,
  syncedQueryProbe,
  syncedTakingProbe,
} from "./probe.ts";

/**
 * Where the question of probe.ts goes, so that its answer is the one of the commit: in a cycle of its own before a
 * COMMIT that nothing stands before, else directly before the COMMIT's Execute, and before a Sync that ends an
 * implicit transaction. What is returned is sent before the message at hand.
 */
export class CommitQuestions {
  private readonly exchange: Exchange;

  constructor(exchange: Exchange) {
    this.exchange = exchange;
  }

  /**
   * Our question in a cycle of its own, then the client's COMMIT (`plan`) in the cycle that `open` makes. Only with nothing
   * owed, in an open transaction.
   */
  askBefore(plan: TextPlan, open: (facts: Partial<Cycle>) => Cycle): Buffer {
    const { exchange } = this;
    const takesId = exchange.takesId(plan);
    // Deferred triggers matter to a transaction that has an id.
    const isFull =
      takesId || exchange.isSuspicious || exchange.planner.traits.hasDeferrableTriggers;
    // The client's cycle is made first, because ours points to it; in the queue ours is first.
    const cycle = open({ verify: "answer", questionsSent: 1 });
    exchange.cycles.clear();
    if (isFull) {
      exchange.open("batch", {
        isOwn: true,
        isOpen: false,
        stepsSent: queryProbeSteps,
        answers: cycle,
      });
    } else {
      exchange.open("function", { isOwn: true, answers: cycle, asks: "xid" });
      exchange.open("function", { isOwn: true, answers: cycle, asks: "synchronousCommit" });
    }
    exchange.cycles.pushBack(cycle);
    this.exchange.startTimer(cycle);
    if (takesId) return syncedTakingProbe;
    return isFull ? syncedQueryProbe : functionProbe;
  }

  /**
   * Before a Query that cannot be asked about: what the session wishes, where that may have changed; and which transaction
   * it is that a COMMIT PREPARED commits. Outside a transaction block; a failure of ours is then nobody's. Undefined:
   * nothing needs to be asked.
   */
  askAhead(cycle: Cycle, gid: string | undefined): Buffer | undefined {
    const { exchange } = this;
    if (!exchange.isSuspicious && gid === undefined) return undefined;
    exchange.cycles.pushFront(
      newCycle("batch", {
        isOwn: true,
        isOpen: false,
        isOptional: true,
        stepsSent: queryProbeSteps,
        answers: cycle,
        asksAhead: true,
      }),
    );
    return gid === undefined ? syncedQueryProbe : preparedProbe(gid);
  }

  /**
   * Whether the first message of a batch, of `plan`, has to wait: what COMMIT PREPARED ends is asked for in a cycle of its own,
   * before all of its batch, with nothing owed.
   */
  mustWait(plan: TextPlan): boolean {
    const { isHonest, openBatch, cycles } = this.exchange;
    return isHonest && plan.gid !== undefined && !openBatch && cycles.length > 0;
  }

  /** The open batch, or a new one that begins with the message at hand. */
  batch(): Cycle {
    const { exchange } = this;
    const { openBatch } = exchange;
    if (openBatch) return openBatch;
    const state = exchange.cycles.length === 0 ? exchange.state : undefined;
    return exchange.open("batch", { state });
  }

  /**
   * The first message of a batch that is going to be a COMMIT, or a COMMIT PREPARED: a question in a cycle of its own fits
   * before it only here.
   */
  askBeforeBatch(plan: TextPlan | undefined): Buffer | undefined {
    const { exchange } = this;
    const { state, isHonest, cycles } = exchange;
    if (!plan || !isHonest || cycles.length > 0) return undefined;
    if (plan.gid !== undefined && state === transactionState.idle)
      return this.askAhead(exchange.open("batch", { state, askedGid: plan.gid }), plan.gid);
    if (plan.role !== "commit" || state !== transactionState.open) return undefined;
    return this.askBefore(plan, (facts) =>
      exchange.open("batch", {
        ...facts,
        state: exchange.state,
        verifyFromStep: Number.POSITIVE_INFINITY,
      }),
    );
  }

  /** Our query before the Execute at hand, if that needs one; and what the batch is after it. */
  beforeExecute(batch: Cycle, plan: TextPlan | undefined): Buffer | undefined {
    const role = plan?.role ?? "write";
    const { idle, open, failed } = transactionState;
    if (role === "begin") batch.state = batch.state === failed ? failed : open;
    else if (role === "rollback") batch.state = plan?.isChained ? open : idle;
    else if (plan && role === "commit") return this.beforeCommit(batch, plan);
    else if (batch.state === idle || (role === "several" && plan?.mayEndTransaction === true)) {
      batch.mayCommitAtSync = true;
      batch.drawsSequence ||= plan?.drawsSequence ?? false;
      batch.mustNotProbe ||= !(plan?.mayBeProbed ?? false);
      // What commits on its way, and COPY, may complete long before the Sync is sent.
      batch.verify = batch.mustNotProbe
        ? "always"
        : batch.verify === "always"
          ? "always"
          : "answer";
      batch.verifyFromStep = Math.min(batch.verifyFromStep, batch.stepsSent);
      this.exchange.startTimer(batch);
    }
    return undefined;
  }

  private beforeCommit(batch: Cycle, plan: TextPlan): Buffer | undefined {
    const { state } = batch;
    const { isChained } = plan;
    batch.state =
      isChained && state !== transactionState.idle ? transactionState.open : transactionState.idle;
    if (state !== transactionState.open) {
      // Outside a transaction block COMMIT ends the implicit transaction of what came before it in this batch.
      if (batch.mayCommitAtSync) batch.verify = "always";
      return undefined;
    }
    const wasAsked =
      batch.verify === "answer" && batch.executes === 0 && batch.sections.length === 0;
    if (!wasAsked) {
      this.ask(batch);
      if (batch.verify === "nothing") batch.verify = "answer";
      this.exchange.startTimer(batch);
    }
    batch.verifyFromStep = Math.min(batch.verifyFromStep, batch.stepsSent);
    batch.commitFromStep = Math.min(batch.commitFromStep, batch.stepsSent);
    return wasAsked ? undefined : this.exchange.question(plan);
  }

  /** For the Sync at hand. */
  beforeSync(batch: Cycle): Buffer | undefined {
    if (!batch.mayCommitAtSync || batch.mustNotProbe || batch.verify !== "answer") return undefined;
    batch.holdsAnswer = batch.stepsSeen === 0;
    this.ask(batch);
    return this.exchange.question();
  }

  private ask(batch: Cycle): void {
    addOwnSteps(batch, queryProbeSteps);
    batch.questionsSent++;
  }
}
