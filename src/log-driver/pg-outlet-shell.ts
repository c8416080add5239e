import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import { epochNone } from "../base/ids.ts";
import { bytesBetween, type Lsn } from "../base/lsn.ts";
import type { ReplicationClient, StandbyFeedback } from "../wire/index.ts";
import { type AttachOptions, connectWriter, streamFrom } from "./attach-shell.ts";
import type { DriverMeter } from "./driver-meter.ts";
import type { DriverEvent, PgTarget } from "./driver-messages.ts";
import type { Reign } from "./driver-shell.ts";
import type { LogTail } from "./log-tail.ts";
import type { SharedProgress } from "./progress.ts";
import type { DriverWorld, ReignOutlet } from "./reign-ports.ts";

/** More than this not yet on a write quorum: PostgreSQL is not read any further until half of it is. */
const undurableBytesLimit = 16 * 1024 * 1024;
/** Unasked reports, so that wal_sender_timeout (60 s) never strikes while reading is held back. */
const statusEveryMs = 10_000;

/** The stream of one PostgreSQL into a reign, and the reports back. */
export class PgOutlet implements ReignOutlet {
  private readonly reign: Reign;
  private readonly tail: LogTail;
  private readonly world: DriverWorld;
  private readonly progress: SharedProgress;
  private readonly meter: DriverMeter;
  private readonly emit: (event: DriverEvent) => void;
  private client: ReplicationClient | undefined;
  private readonly undurableBytesMax: number;
  private isPaused = false;
  private hasNew = false;
  private isDone = false;
  private reportedMs = 0;

  constructor(deps: {
    readonly reign: Reign;
    readonly world: DriverWorld;
    readonly progress: SharedProgress;
    readonly meter: DriverMeter;
    readonly emit: (event: DriverEvent) => void;
  }) {
    this.reign = deps.reign;
    this.tail = deps.reign.requireTail();
    // What no quorum holds yet must not fall out of memory: nobody else has it.
    this.undurableBytesMax = Math.min(undurableBytesLimit, this.tail.limitBytes / 2);
    this.world = deps.world;
    this.progress = deps.progress;
    this.meter = deps.meter;
    this.meter.begin(this.tail.receivedBytes);
    this.emit = deps.emit;
  }

  /** Raises 55000 if this PostgreSQL is not the one, or what went wrong on the way. */
  async attach(target: PgTarget, feedback: StandbyFeedback | undefined): Promise<void> {
    const { reign, tail, world } = this;
    const { open } = reign;
    if (!open) throw new BorealisError(sqlState.notInPrerequisiteState, "no epoch is open");
    // From VDL on: what lies between it and the end is compared with what was sent before.
    const from = reign.vdl;
    const options: AttachOptions = {
      target,
      timeline: open.timeline,
      history: open.history,
      from,
      reach: tail.end,
      clock: world.clock,
      signal: reign.signal,
    };
    const client = await connectWriter(options);
    if (!reign.open) {
      client.destroy();
      throw new BorealisError(sqlState.cannotConnectNow, "the epoch ended while attaching");
    }
    tail.repeatFrom(from);
    this.client = client;
    reign.setOutlet(this);
    client.onClose((error) => this.onClosed(error));
    await client.startReplication(streamFrom(options), {
      onWal: (start, bytes) => this.onWal(start, bytes),
      onBatchEnd: () => this.onBatchEnd(),
    });
    this.onDurable(reign.vdl);
    if (feedback) client.sendFeedback(feedback);
    this.progress.setFlag("attached", true);
    world.logger.info({ event: "driver.attached", from }, "attached to PostgreSQL");
    this.emit({ kind: "attached", from });
  }

  sendFeedback(feedback: StandbyFeedback): void {
    if (this.client && !this.client.isClosed) this.client.sendFeedback(feedback);
  }

  /** Lets PostgreSQL go without a word to anybody. */
  detach(): void {
    this.leave();
    this.client?.close();
  }

  onDurable(vdl: Lsn): void {
    this.client?.sendStatus({ write: vdl, flush: vdl, apply: vdl });
    this.reportedMs = this.world.clock.nowMs();
    this.meter.durable(vdl, this.reportedMs);
    if (this.isPaused && this.undurableBytes() < this.undurableBytesMax / 2) {
      this.isPaused = false;
      this.client?.resume();
    }
  }

  onTick(): void {
    const { clock } = this.world;
    this.meter.noteClocks(clock.nowMs(), clock.wallMs());
    if (this.world.clock.nowMs() - this.reportedMs > statusEveryMs) this.onDurable(this.reign.vdl);
  }

  /** The epoch is over: PostgreSQL hears nothing more, so it acknowledges nothing more. */
  onEnded(): void {
    this.leave();
    this.client?.destroy();
  }

  private leave(): void {
    this.isDone = true;
    this.reign.setOutlet(undefined);
    this.progress.setFlag("attached", false);
  }

  private onWal(start: Lsn, bytes: Buffer): void {
    if (this.isDone) return;
    if (!this.hasNew) this.meter.arrived(this.world.clock.nowMs(), this.world.clock.wallMs());
    const fault = this.tail.take(start, bytes);
    if (fault !== undefined) {
      this.isDone = true;
      return this.reign.end(fault, epochNone);
    }
    this.hasNew = true;
  }

  /** One step of the machine for all that one read brought. */
  private onBatchEnd(): void {
    if (!this.hasNew || this.isDone) return;
    this.hasNew = false;
    this.meter.received(this.tail.recordEnd, this.tail.receivedBytes);
    this.reign.noteDropped(this.tail);
    this.reign.onWal(this.tail);
    if (!this.isPaused && this.undurableBytes() > this.undurableBytesMax) {
      this.isPaused = true;
      this.client?.pause();
    }
  }

  private undurableBytes(): number {
    return bytesBetween(this.reign.vcl, this.tail.end);
  }

  private onClosed(error: Error | undefined): void {
    if (this.isDone) return;
    this.leave();
    const reason = error ? messageOf(error) : "PostgreSQL closed the stream";
    this.world.logger.info({ event: "driver.detached", reason }, "detached from PostgreSQL");
    this.emit({ kind: "detached", reason });
  }
}
