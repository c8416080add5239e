import { unreachable } from "../base/assert.ts";
import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import type { Epoch, VolumeId } from "../base/ids.ts";
import type { Lsn } from "../base/lsn.ts";
import type { Timer } from "../io/index.ts";
import { Driver, type DriverAction, type DriverEvent } from "../ownership/index.ts";
import type { History } from "../quorum/index.ts";
import type { VolumeNode } from "./driver-messages.ts";
import { firstConfiguration, Fleet } from "./fleet-shell.ts";
import type { LinkOwner } from "./node-endpoint.ts";
import { findRecordEnd } from "./record-end-shell.ts";
import type { DriverWorld } from "./reign-ports.ts";

/** What a read quorum of a volume holds that can have an owner no more. */
export interface Salvageable {
  /** Owned by nobody; above every epoch that these nodes have promised. */
  readonly epoch: Epoch;
  readonly path: History;
  /** Everything acknowledged lies below: a record end. */
  readonly b: Lsn;
  readonly low: Lsn;
  /** Whom an earlier salvage has sealed some of them for: it has to be this one. */
  readonly successor: VolumeId | undefined;
}

export interface SalvageOptions {
  readonly nodes: readonly VolumeNode[];
  readonly owner: LinkOwner;
  readonly world: DriverWorld;
  readonly timeoutMs: number;
  /** Names the successor, which is written down where it stays: it can never be another. */
  readonly decide: (found: Salvageable) => VolumeId;
}

const tickMs = 50;

/**
 * Seals what is left of a volume (quorum-protocol.md 10): claims at a read quorum, so that no write quorum is left to anybody
 * else, finds where the log ends, and has the nodes refuse everything for ever in favour of one successor. May be repeated
 * until it is done. Raises 57P03 when no read quorum answers in time or somebody else claims, XX001 when acknowledged log is
 * missing.
 */
export function sealVolume(options: SalvageOptions): Promise<Salvageable> {
  return new Promise((resolve, reject) => {
    const salvage = new Salvage(options, { resolve, reject });
    salvage.start();
  });
}

class Salvage {
  private readonly options: SalvageOptions;
  private readonly settle: {
    resolve: (found: Salvageable) => void;
    reject: (error: unknown) => void;
  };
  private readonly core: Driver;
  private readonly fleet: Fleet;
  private readonly controller = new AbortController();
  private found: Salvageable | undefined;
  private timer: Timer | undefined;
  private alarm: string | undefined;
  private isOver = false;

  constructor(options: SalvageOptions, settle: Salvage["settle"]) {
    this.options = options;
    this.settle = settle;
    const { nodes, owner, world } = options;
    this.core = new Driver({
      claimant: owner.sender,
      configuration: firstConfiguration(nodes),
      rng: world.rng,
      leaseMs: 0,
      heartbeatMs: 1_000,
      purpose: "salvage",
    });
    this.fleet = new Fleet(
      nodes,
      { ...world, owner },
      {
        onConnected: (node) => this.step({ kind: "nodeConnected", node, nowMs: this.nowMs() }),
        onDisconnected: (node) =>
          this.step({ kind: "nodeDisconnected", node, nowMs: this.nowMs() }),
        onMessage: (node, message) =>
          this.step({ kind: "received", node, message, nowMs: this.nowMs() }),
        onAnswer: () => undefined, // nothing is appended
      },
    );
  }

  start(): void {
    const { world, timeoutMs } = this.options;
    world.clock.after(timeoutMs, () => {
      const why = `no read quorum of storage nodes answered within ${timeoutMs / 1_000} s`;
      this.fail(new BorealisError(sqlState.cannotConnectNow, why));
    });
    this.step({ kind: "claim", nowMs: this.nowMs() });
    this.tick();
  }

  private nowMs(): number {
    return this.options.world.clock.nowMs();
  }

  private tick(): void {
    this.timer = this.options.world.clock.after(tickMs, () => {
      if (this.isOver) return;
      this.step({ kind: "tick", nowMs: this.nowMs() });
      if (!this.isOver) this.tick();
    });
  }

  private step(event: DriverEvent): void {
    if (this.isOver) return;
    try {
      for (const action of this.core.step(event)) this.carryOut(action);
      if (!this.isOver) this.fleet.follow(this.core.configuration);
    } catch (error) {
      this.fail(error);
    }
  }

  private carryOut(action: DriverAction): void {
    switch (action.kind) {
      case "send":
        return this.fleet.send(action.node, action.message);
      case "findRecordEnd":
        void this.walk(action);
        return undefined;
      case "decideSalvage":
        return this.decide(action);
      case "salvaged":
        return this.succeed();
      case "alarm":
        this.alarm = action.reason;
        return undefined;
      case "standDown": {
        const code = this.alarm === undefined ? sqlState.cannotConnectNow : sqlState.dataCorrupted;
        return this.fail(new BorealisError(code, this.alarm ?? action.reason));
      }
      // Of an epoch that is opened, or while it is: a salvage opens none.
      case "membersSeen":
      case "decideBranch":
      case "changeAnswered":
      case "membersChanged":
      case "lowAdvanced":
      case "pinned":
      case "unpinned":
      case "opened":
      case "sendAppend":
      case "wakeAt":
      case "nodeLagging":
      case "nodeCaughtUp":
      case "reportDurable":
      case "roundConfirmed":
      case "leaseExtended":
        return undefined;
      default:
        return unreachable(action);
    }
  }

  private async walk(action: Extract<DriverAction, { kind: "findRecordEnd" }>): Promise<void> {
    const { options, fleet, controller } = this;
    const nodes = fleet.nodes.filter(({ nodeId }) => nodeId === action.node);
    const { clock, logger } = options.world;
    const reader = { nodes, owner: options.owner, clock, signal: controller.signal };
    try {
      const b = await findRecordEnd(reader, action);
      this.step({ kind: "recordEndFound", b, nowMs: this.nowMs() });
    } catch (error) {
      logger.warn({ event: "recovery.unreadable", node: action.node }, messageOf(error));
      this.step({ kind: "recordEndNotFound", nowMs: this.nowMs() });
    }
  }

  private decide(action: Extract<DriverAction, { kind: "decideSalvage" }>): void {
    const { epoch, path, b, low, successor } = action;
    this.found = { epoch, path, b, low, successor };
    const chosen = this.options.decide(this.found);
    // Not inside the core's own step.
    this.options.world.clock.after(0, () =>
      this.step({ kind: "salvageDecided", successor: chosen, nowMs: this.nowMs() }),
    );
  }

  private succeed(): void {
    const { found } = this;
    if (!found) return;
    this.end();
    this.settle.resolve(found);
  }

  private fail(error: unknown): void {
    if (this.isOver) return;
    this.end();
    this.settle.reject(error);
  }

  private end(): void {
    this.isOver = true;
    this.timer?.cancel();
    this.controller.abort(new Error("the salvage is over"));
    this.fleet.close("the salvage is over");
  }
}
