import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import { lsnZero } from "../base/lsn.ts";
import { openLogger, type ParentThread, realClock, realRng } from "../io/index.ts";
import { type Member, memberSet } from "../quorum/index.ts";
import type { StandbyFeedback } from "../wire/index.ts";
import type {
  DriverEvent,
  DriverRequest,
  DriverSettings,
  DriverStatus,
  FromDriver,
  ToDriver,
  VolumeNode,
} from "./driver-messages.ts";
import { Reign } from "./driver-shell.ts";
import type { DriverWorkerData } from "./handle-shell.ts";
import { PgOutlet } from "./pg-outlet-shell.ts";
import { SharedProgress } from "./progress.ts";
import { DriverMeter } from "./driver-meter.ts";
import { DriverCounts } from "./driver-figures.ts";
import type { DriverMeasures, DriverWorld } from "./reign-ports.ts";

const claimTimeoutMs = 15_000;

const idleStatus: DriverStatus = {
  phase: "idle",
  nodes: [],
  ringBytes: 0,
  walBytes: 0,
  reports: 0,
  low: lsnZero,
  pins: [],
};

/** The driver's thread (decisions.md D5): one reign after the other, as the agent asks. */
class DriverThread {
  private settings: DriverSettings;
  private readonly progress: SharedProgress;
  private readonly world: DriverWorld;
  private readonly measures: DriverMeasures;
  private readonly post: (message: FromDriver) => void;
  private reign: Reign | undefined;
  /** Stands by for the next claim. */
  private next: Reign | undefined;
  private outlet: PgOutlet | undefined;
  private feedback: StandbyFeedback | undefined;

  constructor(data: DriverWorkerData, post: (message: FromDriver) => void) {
    const { settings } = data;
    this.settings = settings;
    this.progress = new SharedProgress(data.memory);
    const counts = new DriverCounts(data.counts);
    this.measures = { counts, meter: new DriverMeter(counts) };
    this.post = post;
    const logger = openLogger({
      file: settings.logFile,
      process: `${settings.owner.sender}-driver`,
      level: settings.logLevel,
    });
    this.world = { clock: realClock, rng: realRng, logger };
  }

  take(message: ToDriver): void {
    if (message.kind === "request") {
      void this.answer(message.id, message.request);
      return;
    }
    switch (message.kind) {
      case "standBy":
        return this.standBy();
      case "setNodes":
        return this.setNodes(message.nodes);
      case "wantLow":
        return this.reign?.wantLow(message.lsn);
      default:
        this.feedback = message.feedback;
        this.outlet?.sendFeedback(message.feedback);
    }
  }

  private async answer(id: number, request: DriverRequest): Promise<void> {
    try {
      this.post({ kind: "answer", id, result: await this.carryOut(request) });
    } catch (error) {
      const code = error instanceof BorealisError ? error.code : sqlState.internal;
      const hint = error instanceof BorealisError ? error.hint : undefined;
      this.post({ kind: "refusal", id, code, message: messageOf(error), hint });
    }
  }

  private carryOut(request: DriverRequest): unknown {
    switch (request.kind) {
      case "claim":
        return this.newReign().claim(claimTimeoutMs);
      case "open":
        return this.requireReign().elect(request.timeline);
      case "attach": {
        this.outlet?.detach();
        const { world, progress } = this;
        const { meter } = this.measures;
        const emit = (event: DriverEvent): void => this.emit(event);
        this.outlet = new PgOutlet({ reign: this.requireReign(), world, progress, meter, emit });
        return this.outlet.attach(request.target, this.feedback);
      }
      case "detach":
        return this.outlet?.detach();
      case "changeMembers":
        return this.changeMembers(request.members);
      case "pin":
        return this.requireOpen("nothing can be pinned").pins.pin(request.wish);
      case "unpin":
        return this.requireOpen("its pins stay").pins.unpin(request.pinId);
      case "release":
        return this.reign?.release();
      case "resign":
        return this.reign?.resign();
      case "round":
        return this.requireReign().readGate.untilRound();
      case "lease":
        return this.requireReign().readGate.untilLeased();
      default:
        return this.status();
    }
  }

  private status(): DriverStatus {
    return (this.reign ?? this.next)?.status() ?? idleStatus;
  }

  /** The next reign, with its links, before it claims. */
  private standBy(): void {
    if (this.reign || this.next) return;
    this.next = this.makeReign();
    this.next.standBy();
  }

  private setNodes(nodes: readonly VolumeNode[]): void {
    const isSame = JSON.stringify(nodes) === JSON.stringify(this.settings.nodes);
    this.settings = { ...this.settings, nodes };
    this.reign?.setNodes(nodes);
    if (!this.next || isSame) return;
    // It would begin its claim at the members of then.
    this.next.resign();
    this.next = undefined;
    this.standBy();
  }

  private newReign(): Reign {
    this.reign?.resign();
    this.outlet = undefined;
    this.reign = this.next ?? this.makeReign();
    this.next = undefined;
    return this.reign;
  }

  private makeReign(): Reign {
    const { settings, world, progress, measures } = this;
    return new Reign(settings, { ...world, ...measures }, progress, {
      emit: (event) => this.emit(event),
      onAwaited: () => this.post({ kind: "awaitedReached" }),
    });
  }

  private changeMembers(members: readonly Member[]): Promise<void> {
    return this.requireOpen("its members stay").change.ask(memberSet(members));
  }

  private requireOpen(otherwise: string): Reign {
    if (this.reign?.open) return this.reign;
    throw new BorealisError(sqlState.cannotConnectNow, `no epoch is open: ${otherwise}`);
  }

  private requireReign(): Reign {
    if (this.reign) return this.reign;
    throw new BorealisError(sqlState.notInPrerequisiteState, "nothing is claimed");
  }

  private emit(event: DriverEvent): void {
    this.post({ kind: "event", event });
  }
}

/** The thread's module: nothing else runs here, since every commit of the cluster waits for it. */
export function run(parent: ParentThread): void {
  const data = parent.data as DriverWorkerData; // what handle-shell.ts starts it with
  const thread = new DriverThread(data, (message) => parent.post(message));
  parent.onMessage((message) => thread.take(message as ToDriver)); // the handle posts nothing else
}
