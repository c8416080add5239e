import { BorealisError, sqlState } from "../base/errors.ts";
import type { MessageKind } from "../quorum/index.ts";
import { type FaultRates, noFaults, type SharedFaults } from "./shared-faults.ts";

/** `failure`: requests are refused; `congestion`: they wait. */
export type FaultKind = "failure" | "congestion";

/** A fault that this node is to have for a while. */
export interface FaultOrder {
  readonly kind: FaultKind;
  /** Of requests, from 0 to 100. */
  readonly percent: number;
  readonly durationMs: number;
  /** Of congestion. */
  readonly delayMinMs: number;
  readonly delayMaxMs: number;
}

/** One that lasts; `untilMs` in milliseconds since 1970. */
export interface ActiveFault extends Omit<FaultOrder, "durationMs"> {
  readonly untilMs: number;
}

/** What a node tells of its faults. Counts are of its process. */
export interface FaultReport {
  readonly active: readonly ActiveFault[];
  readonly refused: number;
  readonly delayed: number;
}

/**
 * What a node does with its disk for others. Heartbeats and Inspect are not among them: a node whose disk fails is there, and
 * says so. What it would fetch from peers is judged before it asks (Faults.meetFill).
 */
export const diskRequests: ReadonlySet<MessageKind> = new Set<MessageKind>([
  "append",
  "claim",
  "elect",
  "configChange",
  "floor",
  "pull",
  "getLog",
  "subscribe",
  "pin",
  "unpin",
  "pinPull",
  "digest",
  "scrub",
]);

interface Running {
  readonly fault: ActiveFault;
  /** Monotonic. */
  readonly endMs: number;
}

/** Longer than anybody looks on, and far below what a number holds exactly. */
const durationMaxMs = 2 ** 31 * 1000;
export const delayMaxMs = 100;

/** One fault of a kind at a time: a new one takes the place of the last. They end by the clock of this process alone. */
export class FaultBook {
  private readonly shared: SharedFaults;
  private readonly running = new Map<FaultKind, Running>();

  constructor(shared: SharedFaults) {
    this.shared = shared;
  }

  begin(order: FaultOrder, now: { readonly nowMs: number; readonly wallMs: number }): ActiveFault {
    const { durationMs, ...rest } = order;
    const fault = { ...rest, untilMs: Math.round(now.wallMs + durationMs) };
    // The newest is the last of the report.
    this.running.delete(order.kind);
    this.running.set(order.kind, { fault, endMs: now.nowMs + durationMs });
    this.publish();
    return fault;
  }

  /** Gives those that are over now. */
  takeEnded(nowMs: number): ActiveFault[] {
    const ended = [...this.running.values()].filter(({ endMs }) => endMs <= nowMs);
    if (ended.length === 0) return [];
    for (const { fault } of ended) this.running.delete(fault.kind);
    this.publish();
    return ended.map(({ fault }) => fault);
  }

  get report(): FaultReport {
    const active = [...this.running.values()].map(({ fault }) => fault);
    return { active, ...this.shared.counts };
  }

  private publish(): void {
    const failure = this.running.get("failure")?.fault;
    const congestion = this.running.get("congestion")?.fault;
    const rates: FaultRates = {
      ...noFaults,
      ...(failure ? { refusedPercent: failure.percent } : {}),
      ...(congestion
        ? {
            delayedPercent: congestion.percent,
            delayMinMs: congestion.delayMinMs,
            delayMaxMs: congestion.delayMaxMs,
          }
        : {}),
    };
    this.shared.set(rates);
  }
}

/** By hand, as node-config.ts says why. Raises BorealisError 22023. */
export function parseFaultOrder(raw: unknown): FaultOrder {
  const fields: Record<string, unknown> = typeof raw === "object" && raw !== null ? { ...raw } : {};
  const { kind } = fields;
  if (kind !== "failure" && kind !== "congestion") throw wrong("kind", "failure or congestion");
  const between = (key: string, min: number, max: number): number => {
    const value = fields[key];
    if (typeof value !== "number" || !(value >= min && value <= max))
      throw wrong(key, `from ${min} to ${max}`);
    return value;
  };
  const order = {
    kind,
    percent: between("percent", 0, 100),
    durationMs: between("durationMs", 1, durationMaxMs),
  } as const;
  if (kind === "failure") return { ...order, delayMinMs: 0, delayMaxMs: 0 };
  const least = between("delayMinMs", 0, delayMaxMs);
  return { ...order, delayMinMs: least, delayMaxMs: between("delayMaxMs", least, delayMaxMs) };
}

function wrong(key: string, wanted: string): BorealisError {
  return new BorealisError(sqlState.invalidParameter, `${key} of a fault has to be ${wanted}`);
}
