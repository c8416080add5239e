/** Which faults strike when: pure, a function of a seed. Whom they strike depends on who is there then; see chaos.ts. */
import { type Rng, seededRng } from "../../src/base/rng.ts";

/** By kind, how often one is chosen among all. */
const weights = {
  "kill the writer": 4,
  "kill a process of the writer": 2,
  "kill a reader": 2,
  "freeze the writer": 3,
  "freeze the writer's agent": 2,
  "freeze a reader": 2,
  "reboot the writer": 2,
  "reboot a reader": 1,
  "fail over": 4,
  "fail over to a reader": 2,
  "kill the writer's agent": 3,
  "kill a reader's agent": 2,
  "kill the control plane": 3,
  "freeze the control plane": 1,
  "kill a storage node": 3,
  "freeze a storage node": 2,
  "stop storage nodes": 3,
  "kill the writer and the control plane": 2,
  "kill the writer and a reader": 1,
} as const;

export type FaultKind = keyof typeof weights;
export const faultKinds = Object.keys(weights) as readonly FaultKind[];

export interface Fault {
  readonly kind: FaultKind;
  /** From the beginning. */
  readonly atMs: number;
  /** How long what is frozen or stopped stays so. */
  readonly forMs: number;
  /** In [0, 1): who it is, where there are several. */
  readonly who: number;
}

const bag = faultKinds.flatMap((kind) => Array.from({ length: weights[kind] }, () => kind));

/** The faults of so many milliseconds. A longer schedule of the same seed begins with the shorter one's. */
export function scheduleOf(seed: number, durationMs: number): Fault[] {
  const rng = seededRng(seed);
  const faults: Fault[] = [];
  let atMs = gapMs(rng);
  while (atMs < durationMs) {
    const kind = bag[rng.below(bag.length)] ?? "kill the writer";
    faults.push({ kind, atMs, forMs: 200 + rng.below(6_000), who: rng.next() });
    atMs += gapMs(rng);
  }
  return faults;
}

/** One after the other most of the time, so that a takeover comes to its end; now and then into the middle of it. */
function gapMs(rng: Rng): number {
  return rng.below(3) === 0 ? rng.below(1_500) : 2_000 + rng.below(6_000);
}
