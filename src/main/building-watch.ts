/** How instances that are on their way get on, out of what `status` says of them. */
import { bytesBetween, findLsn, type Lsn } from "../base/lsn.ts";
import { type Layout, type StatusReport, statusSchema } from "../cluster/index.ts";
import { connectRpc, realClock, sleep } from "../io/index.ts";
import type { Progress } from "./progress.ts";

type InstanceRow = StatusReport["instances"][number];

export interface BuildingStep {
  readonly step: string;
  readonly doneBytes: number;
  readonly totalBytes: number | undefined;
}

const lookEveryMs = 300;
/** A replay that takes no longer is not worth a word. */
const usualMs = 2_000;

/** Follows one instance. Replay is counted from where it was first seen. */
export class BuildingWatch {
  private readonly progress: Pick<Progress, "begin" | "at"> | undefined;
  private replayFrom: Lsn | undefined;
  private last: BuildingStep | undefined;
  private movedMs: number;

  /** Without a progress it tells nobody, and knows only whether something moves. */
  constructor(progress: Pick<Progress, "begin" | "at"> | undefined, nowMs: number) {
    this.progress = progress;
    this.movedMs = nowMs;
  }

  /** When it was last seen to get on, on the clock of `take`. */
  get lastMovedMs(): number {
    return this.movedMs;
  }

  take(row: InstanceRow, vdl: string | null, nowMs: number): void {
    const now = this.stepOf(row, findLsn(vdl ?? ""));
    const { last, progress } = this;
    if (now.step !== last?.step) progress?.begin(now.step, now.totalBytes);
    if (now.step !== last?.step || now.doneBytes !== last.doneBytes) this.movedMs = nowMs;
    if (now.doneBytes > 0) progress?.at(now.doneBytes, now.totalBytes);
    this.last = now;
  }

  private stepOf(row: InstanceRow, vdl: Lsn | undefined): BuildingStep {
    const { id, building, state, problem } = row;
    if (building) {
      const { step, doneBytes, totalBytes } = building;
      return { step: `${id}: ${step}`, doneBytes, totalBytes: totalBytes ?? undefined };
    }
    const at = findLsn(row.replayLsn ?? "");
    if (state === "recovering" && at !== undefined) {
      const from = (this.replayFrom ??= at);
      const isEnd = vdl === undefined || vdl < at || vdl === from;
      const totalBytes = isEnd ? undefined : bytesBetween(from, vdl);
      const doneBytes = Math.max(0, Number(at - from));
      return { step: `${id}: replaying the log`, doneBytes, totalBytes };
    }
    const why = problem === null ? "" : `: ${problem}`;
    return { step: `${id}: ${state}${why}`, doneBytes: 0, totalBytes: undefined };
  }
}

/** Watches the writer of a cluster that starts, until the signal says that it is there; tells of what takes its time only. */
export async function watchStart(
  layout: Layout,
  watch: BuildingWatch,
  signal: AbortSignal,
): Promise<void> {
  let sinceMs = realClock.nowMs();
  let isRebuilt = false;
  while (!signal.aborted) {
    try {
      const address = { kind: "unix", path: layout.controlSocket } as const;
      const client = await connectRpc(address, { timeoutMs: 1_000, signal });
      try {
        for (;;) {
          const report = statusSchema.parse(await client.call("status", {}, { timeoutMs: 5_000 }));
          const writer = report.instances.find(({ role }) => role === "writer");
          const nowMs = realClock.nowMs();
          if (signal.aborted) return;
          if (writer?.state !== "recovering") sinceMs = nowMs;
          if (writer?.building) isRebuilt = true;
          const isLong = isRebuilt || nowMs - sinceMs > usualMs;
          if (writer && isLong) watch.take(writer, report.cluster.vdl, nowMs);
          await sleep(realClock, lookEveryMs, signal);
        }
      } finally {
        client.close();
      }
    } catch {
      // The control plane is not up yet, or restarts.
    }
    await sleep(realClock, lookEveryMs, signal);
  }
}
