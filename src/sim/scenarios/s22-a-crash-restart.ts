import { present } from "../../base/assert.ts";
import { advance, type Lsn } from "../../base/lsn.ts";
import { judgeSystem, LogTail, type WantedWriter } from "../../log-driver/index.ts";
import { SimFailure } from "../failure.ts";
import type { ScenePlay } from "./scenario.ts";
import { Scene } from "./scene.ts";

const systemId = "7300000000000000001";
const ringBytes = 1024 * 1024;

interface Restarted {
  /** Where PostgreSQL's log ends when it is back. */
  readonly end: Lsn;
  /** What it streams from the last record end on. */
  readonly again: Buffer;
}

/** Why the epoch is over, after PostgreSQL restarted on its timeline; undefined: it is kept. */
function restart(change: (sent: Restarted) => Restarted): string | undefined {
  const scene = new Scene();
  const writer = scene.opens(1);
  scene.writeDurably(writer);
  const driver = present(writer.driver, "it is open");
  const wal = present(writer.wal, "it is open");
  const { start, timeline, history } = driver;
  const tail = new LogTail(start, ringBytes);
  // The last record was sent in part when the backend died.
  const whole = wal.end;
  const sent = advance(whole, -8);
  expectFine(tail.take(start, wal.view(start, sent)));
  const from = tail.recordEnd;
  const view = Buffer.from(wal.view(from, whole));
  const { end, again } = change({ end: whole, again: view });
  // As the outlet attaches.
  const wanted: WantedWriter = { systemId, timeline, history, reach: tail.end };
  const wrong = judgeSystem({ systemId, timeline, end }, wanted);
  if (wrong !== undefined) return wrong;
  tail.repeatFrom(from);
  const why = tail.take(from, again);
  if (why === undefined && tail.recordEnd !== whole)
    throw new SimFailure("script", "the stream went on, and the record is not whole");
  return why;
}

function expectFine(why: string | undefined): void {
  if (why !== undefined) throw new SimFailure("script", why);
}

function expectOver(why: string | undefined, said: string): void {
  if (!why?.includes(said)) throw new SimFailure("script", `the epoch is kept, or: ${why}`);
}

export const s22: ScenePlay = {
  id: "S22",
  what: "the writer's PostgreSQL restarts after a crash on its timeline; its stream is as before",
  expected: "the epoch is kept",
  play: () => expectFine(restart((sent) => sent)),
};

export const s22Shorter: ScenePlay = {
  id: "S22b",
  what: "the same, and its log is shorter than what it had sent",
  expected: "the driver resigns",
  play: () =>
    expectOver(
      restart(({ end, again }) => ({ end: advance(end, -16), again })),
      "its log ends at",
    ),
};

export const s22Different: ScenePlay = {
  id: "S22c",
  what: "the same, and its log reaches as far with other bytes: a bit here or there",
  expected: "the driver resigns",
  play: () => {
    for (const byte of [0, 9, 20, 23]) {
      const why = restart(({ end, again }) => {
        again[byte] = (again[byte] ?? 0) ^ 4;
        return { end, again };
      });
      expectOver(why, "differs at");
    }
  },
};
