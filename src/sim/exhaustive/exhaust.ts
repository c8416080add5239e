import type { Rules } from "../../quorum/index.ts";
import { describeEvent, type SearchEvent } from "./search-event.ts";
import type { SearchSpace, Successor } from "./search-space.ts";
import { StateTable } from "./state-table.ts";
import { follow, spaceFor } from "./walk.ts";

export interface ExhaustOptions {
  readonly nodes: number;
  /** Epochs 1 to `epochs`; each is claimed once, by a driver of its own. */
  readonly epochs: number;
  /** Length of the log, in units of eight bytes. */
  readonly units: number;
  /** How many epochs may be asked to be a backtrack. */
  readonly backtracks: number;
  /** Do nodes fill their logs from each other? Without, a node that lacks log below an epoch's start stays behind. */
  readonly withPull: boolean;
  /** Do heartbeats bring VDLs? Then I5 and the guard of section 7 (I12) are searched too. Default: no. */
  readonly withHints?: boolean;
  /** Sync apart from append, and power failures. Default: no: what is appended is synced. */
  readonly withSync?: boolean;
  /** Units in a record. Default 1; with 2, logs end inside records. */
  readonly unitsPerRecord?: number;
  /** Further claims of the last epoch, by others. Default 0. */
  readonly rivals?: number;
  /** Instead of epochs and rivals: the epoch of each claim, at most four. */
  readonly claims?: readonly number[];
  /** States that differ only in the names of nodes are one. Default: yes. Not for rules that look at names. */
  readonly isSymmetric?: boolean;
  /** The search begins where these steps end, each as a trace prints it. Default: at birth. */
  readonly from?: readonly string[];
  readonly rules?: Rules;
  readonly depthMax?: number;
  readonly stateLimit?: number;
  readonly timeLimitMs?: number;
  /** Monotonic milliseconds, for the time limit and the report. */
  readonly clock: { nowMs(): number };
}

export interface Violation {
  readonly law: string;
  readonly depth: number;
  /** The shortest way to it, an event a line. */
  readonly trace: readonly string[];
}

export interface ExhaustReport {
  readonly states: number;
  readonly transitions: number;
  /** The deepest level whose states were all expanded. */
  readonly depth: number;
  readonly ended: "fixpoint" | "violation" | "depth" | "states" | "time";
  readonly violation: Violation | undefined;
  /** How often each kind of event led to a state, new or known; what stays at zero was not searched. */
  readonly events: Readonly<Record<string, number>>;
  /** How many times the shipped state machines were run. */
  readonly machineRuns: number;
  readonly elapsedMs: number;
}

/**
 * Breadth first over every interleaving of a small world (section 20 of the protocol, second formulation), with the
 * shipped Acceptor, Driver and choice of recovery as its steps. A request may be delivered at any time from when it can
 * first be sent, any number of times, or never; an acknowledgement that was given may be heard at any time after.
 *
 * What keeps it small, and why nothing is lost by it:
 * - Nodes have no names. All steps and laws treat them alike, so states that differ only in who is who are one. (A rule
 *   that goes by names, as M5 does, is searched with isSymmetric false.)
 * - An acknowledgement is no step. A node that may give one could give it in every later moment until it may no more, and
 *   what was said stays said; so it counts as given as soon as it may be (NodeState.told), and a driver acts on it or not.
 * - A driver's knowledge is no state. It knows some of what it was told; all it does with it is to raise its VDL, and to
 *   know more never makes it lower. So it may at any time go to the next record end that all it was told allows.
 * - PostgreSQL's writing is one with the first delivery of what it wrote.
 * - A handler is one step, its disk writes included: a crash inside leaves what a lost answer would.
 */
export function exhaust(options: ExhaustOptions): ExhaustReport {
  return new Search(options).run();
}

class Search {
  private readonly options: ExhaustOptions;
  private readonly space: SearchSpace;
  private readonly table: StateTable;
  private readonly row: Int32Array;
  private readonly startMs: number;
  private readonly kinds = new Map<number, number>();
  private transitions = 0;
  private depth = 0;
  private current = 0;
  private violation: Violation | undefined;

  constructor(options: ExhaustOptions) {
    this.options = options;
    this.startMs = options.clock.nowMs();
    this.space = spaceFor(options);
    this.row = new Int32Array(options.nodes + 1);
    this.table = new StateTable(options.nodes + 1);
  }

  run(): ExhaustReport {
    const { table, row, options } = this;
    const { depthMax = Infinity } = options;
    this.begin();
    table.add(row, -1, 0);
    let ended: ExhaustReport["ended"] = "fixpoint";
    for (let levelEnd = 1; this.current < table.count; levelEnd = table.count) {
      if (this.depth >= depthMax) {
        ended = "depth";
        break;
      }
      const stop = this.expandTo(levelEnd);
      if (stop) {
        ended = stop;
        break;
      }
      if (table.count > levelEnd) this.depth++;
    }
    return this.report(ended);
  }

  /** Puts the first state into `row`; the names of its nodes. */
  private begin(): readonly string[] {
    const { space, row, options } = this;
    space.readFirst(row);
    follow(space, options.from ?? [], row);
    const order = space.canonize(row);
    return order.map((position) => `n${position + 1}`);
  }

  private expandTo(levelEnd: number): "violation" | "states" | "time" | undefined {
    const { table, space, options } = this;
    const { stateLimit = Infinity, timeLimitMs = Infinity, clock } = options;
    const state = new Int32Array(this.row.length);
    for (; this.current < levelEnd; this.current++) {
      table.read(this.current, state);
      space.expand(state, this.found);
      if (this.violation) return "violation";
      if (table.count > stateLimit) return "states";
      const isTimeToLook = this.current % 1024 === 0;
      if (isTimeToLook && clock.nowMs() - this.startMs > timeLimitMs) return "time";
    }
    return undefined;
  }

  private readonly found = (successor: Successor): void => {
    if (this.violation) return;
    this.transitions++;
    const kind = successor.event >>> 18;
    this.kinds.set(kind, (this.kinds.get(kind) ?? 0) + 1);
    const { row, table, space } = this;
    let { law } = successor;
    if (law === undefined) {
      space.readCanonical(successor, row);
      if (!table.add(row, this.current, successor.event)) return;
      law = space.brokenLaw(row);
    }
    if (law === undefined) return;
    const events = [...this.wayTo(this.current), successor.event];
    const trace = this.describe(events);
    this.violation = { law, depth: events.length, trace };
  };

  private wayTo(index: number): number[] {
    const way: number[] = [];
    for (let at = index; at > 0; at = this.table.parentOf(at)) way.push(this.table.eventOf(at));
    return way.toReversed();
  }

  /** Replays the way, following each node under the name it began with, since states forget names. */
  private describe(events: readonly number[]): string[] {
    const { space, row } = this;
    const lines: string[] = [];
    let names = this.begin();
    for (const event of events) {
      const before = Int32Array.from(row);
      let isFound = false;
      space.expand(before, (successor) => {
        if (isFound || successor.event !== event) return;
        isFound = true;
        const line: SearchEvent = { event, names, before, after: Int32Array.from(successor.nodes) };
        lines.push(describeEvent(space, line, successor));
        const order = space.readCanonical(successor, row);
        names = order.map((position) => names[position] ?? "");
      });
    }
    return lines;
  }

  private report(ended: ExhaustReport["ended"]): ExhaustReport {
    const { table, transitions, depth, violation, options, startMs, space } = this;
    const events = Object.fromEntries(
      [...this.kinds]
        .toSorted(([a], [b]) => a - b)
        .map(([kind, count]) => [space.kindName(kind), count]),
    );
    return {
      states: table.count,
      transitions,
      depth,
      ended,
      violation,
      events,
      machineRuns: space.machineRuns,
      elapsedMs: options.clock.nowMs() - startMs,
    };
  }
}
