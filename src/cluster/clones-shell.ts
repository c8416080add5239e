import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import { findLsn, parseLsn } from "../base/lsn.ts";
import { type Clock, type Logger, type RpcClient, sleep } from "../io/index.ts";
import { pinReportSchema } from "../instance/index.ts";
import { z } from "zod";
import { branched, liveClones, released, releasedPins, withClone } from "./clones.ts";
import type { CloneReport, PinCloneOrder, PinnedClone } from "./messages.ts";
import type { ClusterState } from "./state.ts";
import type { SharedLog } from "./volume-figures.ts";

export interface ClonesOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly state: () => ClusterState;
  readonly save: (change: (state: ClusterState) => ClusterState) => void;
  /** Whether the volume is a clone whose parent is still there. */
  readonly hasParent: () => boolean;
  /** The line to the agent of a writer that is open and has a write quorum. */
  readonly openWriter: () => RpcClient | undefined;
}

const everyMs = 2_000;
/** The writer reads up to a segment of log, and nodes link their files. */
const pinMs = 60_000;
const answerMs = 10_000;
const pinsSchema = z.array(pinReportSchema);

/** The pins of this volume's clones: made, shown, released. */
export class Clones {
  private readonly options: ClonesOptions;

  constructor(options: ClonesOptions) {
    this.options = options;
  }

  /**
   * Keeps the volume's log for a clone. May be asked again under the same id. Raises 54000 for one too many, 22023 where there
   * is no log, 57P03 while there is no writer with a quorum.
   */
  async pin(order: PinCloneOrder): Promise<PinnedClone> {
    const { openWriter, save, logger } = this.options;
    const { pinId, to, dataDir, createdAt } = order;
    const writer = openWriter();
    if (!writer) {
      throw new BorealisError(
        sqlState.cannotConnectNow,
        "no writer has its quorum, so nothing can be cloned now",
        { hint: "borealis status shows what is missing; try again when it is available" },
      );
    }
    save((state) => withClone(state, { pinId, dataDir, createdAt }));
    try {
      const answer = await writer.call("pin", { pinId, to }, { timeoutMs: pinMs });
      const pin = pinReportSchema.parse(answer);
      save((state) => branched(state, pinId, pin.to));
      logger.info({ event: "clone.pinned", ...pin, dataDir });
      return pin;
    } catch (error) {
      save((state) => released(state, pinId));
      throw error;
    }
  }

  /** The clone is gone, or given up. Its pin goes with the next look at the latest. */
  async release(pinId: string): Promise<void> {
    const { save, logger } = this.options;
    save((state) => released(state, pinId));
    logger.info({ event: "clone.released", pinId });
    await this.dropReleased().catch((error: unknown) => {
      logger.debug({ event: "clone.notUnpinned", pinId }, messageOf(error));
    });
  }

  /** What is kept, and for whom. */
  async list(): Promise<CloneReport[]> {
    const { state } = this.options;
    const pins = await this.pins().catch(() => undefined);
    const now = state();
    const known = liveClones(now).map((one) => {
      const { pinId, dataDir, lsn, createdAt } = one;
      return { pinId, dataDir, lsn, createdAt };
    });
    const named = new Set((now.clones ?? []).map((one) => one.pinId));
    const strays = (pins ?? []).filter((one) => !named.has(one.pinId));
    const unnamed = strays.map(({ pinId, to }) => {
      return { pinId, dataDir: null, lsn: to, createdAt: null };
    });
    return [...known, ...unnamed];
  }

  /** What of the log is kept for clones, as far as there is an open writer to say so, and what is the parent's. */
  async sharedLog(): Promise<SharedLog> {
    const { state, hasParent } = this.options;
    const now = state();
    const pins = liveClones(now).length === 0 ? [] : await this.pins().catch(() => undefined);
    return {
      pins: (pins ?? []).map(({ from, to }) => ({ from: parseLsn(from), to: parseLsn(to) })),
      branch: hasParent() ? findLsn(now.branchLsn ?? "") : undefined,
    };
  }

  /** For ever: what was released, and comes back with a node that was away, goes. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, logger, state } = this.options;
    while (!signal.aborted) {
      try {
        if (releasedPins(state()).length > 0) await this.dropReleased();
      } catch (error) {
        logger.debug({ event: "clone.notUnpinned" }, messageOf(error));
      }
      await sleep(clock, everyMs, signal);
    }
  }

  private async dropReleased(): Promise<void> {
    const { state, openWriter } = this.options;
    const gone = releasedPins(state());
    for (const { pinId } of (await this.pins()) ?? []) {
      if (!gone.includes(pinId)) continue;
      await openWriter()?.call("unpin", { pinId }, { timeoutMs: answerMs });
    }
  }

  private async pins() {
    const answer = await this.options.openWriter()?.call("pins", {}, { timeoutMs: answerMs });
    return answer === undefined ? undefined : pinsSchema.parse(answer);
  }
}
