import { countOf, Histogram, histogramCells, type HistogramFigures } from "../base/histogram.ts";

/**
 * What a commit waits for, in this order. `postgresql`: from the time in its commit record, which PostgreSQL takes as it begins to
 * write it, until the record has come to the log driver. `driver`: until the first node was sent it. `nodes`: until a write
 * quorum has it, and PostgreSQL is told so.
 */
export const commitParts = ["postgresql", "driver", "nodes"] as const;
export type CommitPart = (typeof commitParts)[number];

/** What log drivers have counted. */
export interface DriverFigures {
  /** Commits in the log that has come from PostgreSQL. */
  readonly commits: number;
  readonly logBytes: number;
  /** Of each commit. */
  readonly parts: Readonly<Record<CommitPart, HistogramFigures>>;
  /** `driver` and `nodes` together, of each commit. */
  readonly durable: HistogramFigures;
  /** From an append to a node to its acknowledgement, of the nodes that were ever sent one. */
  readonly appends: readonly { readonly node: string; readonly durations: HistogramFigures }[];
}

/** Names of nodes are those of their places: six, of which no more than twice as many are known at a time. */
const nodesMax = 24;
const nameBytes = 64;

const commitsCell = 0;
const logBytesCell = 1;
const firstHistogram = 2;
const ownHistograms = commitParts.length + 1;
const cells = firstHistogram + (ownHistograms + nodesMax) * histogramCells;

/**
 * Where drivers count: memory of the agent's, which outlives their threads, so that no figure goes down with an epoch, and that
 * is read without asking them.
 */
export class DriverCounts {
  readonly memory: SharedArrayBuffer;
  private readonly numbers: Float64Array;
  private readonly names: Uint8Array;
  readonly parts: Readonly<Record<CommitPart, Histogram>>;
  readonly durable: Histogram;

  /** Without `memory`: makes it. */
  constructor(memory = new SharedArrayBuffer(cells * 8 + nodesMax * nameBytes)) {
    this.memory = memory;
    this.numbers = new Float64Array(memory, 0, cells);
    this.names = new Uint8Array(memory, cells * 8);
    this.parts = {
      postgresql: this.histogram(0),
      driver: this.histogram(1),
      nodes: this.histogram(2),
    };
    this.durable = this.histogram(3);
  }

  addCommit(): void {
    this.numbers[commitsCell] = (this.numbers[commitsCell] ?? 0) + 1;
  }

  addLog(bytes: number): void {
    this.numbers[logBytesCell] = (this.numbers[logBytesCell] ?? 0) + bytes;
  }

  /** Of appends to the node of this name; there is room for so many that no more are ever known. */
  appendsTo(node: string): Histogram {
    const name = Buffer.from(node).subarray(0, nameBytes);
    for (let slot = 0; slot < nodesMax; slot++) {
      const taken = this.nameAt(slot);
      if (taken !== "" && taken !== name.toString()) continue;
      this.names.set(name, slot * nameBytes);
      return this.histogram(ownHistograms + slot);
    }
    return new Histogram();
  }

  get figures(): DriverFigures {
    const { postgresql, driver, nodes } = this.parts;
    const appends: { node: string; durations: HistogramFigures }[] = [];
    for (let slot = 0; slot < nodesMax; slot++) {
      const node = this.nameAt(slot);
      if (node === "") break;
      const durations = this.histogram(ownHistograms + slot).figures;
      if (countOf(durations) > 0) appends.push({ node, durations });
    }
    return {
      commits: this.numbers[commitsCell] ?? 0,
      logBytes: this.numbers[logBytesCell] ?? 0,
      parts: { postgresql: postgresql.figures, driver: driver.figures, nodes: nodes.figures },
      durable: this.durable.figures,
      appends,
    };
  }

  private nameAt(slot: number): string {
    const name = Buffer.from(this.names.subarray(slot * nameBytes, (slot + 1) * nameBytes));
    const end = name.indexOf(0);
    return name.toString("utf8", 0, end < 0 ? nameBytes : end);
  }

  private histogram(index: number): Histogram {
    const from = firstHistogram + index * histogramCells;
    return new Histogram(this.numbers.subarray(from, from + histogramCells));
  }
}
