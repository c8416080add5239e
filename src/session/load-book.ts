import type { InstanceId } from "../base/ids.ts";
import type { Choice, Target } from "./topology.ts";

/** One that refused a new session, or let it wait in vain, is avoided for so long. */
const suspectMs = 10_000;

/**
 * Which instances this process's sessions are at, and which of those did not answer lately: what a new session's place is
 * chosen by. A session counts from the moment at which its place is chosen, so that many that come in together spread.
 */
export class LoadBook {
  private readonly sessions = new Map<InstanceId, number>();
  /** Until when, by incarnation. */
  private readonly suspects = new Map<string, number>();

  /** For one client, from its log-in to its end. */
  newSeat(): Seat {
    return new Seat((id, by) => this.count(id, by));
  }

  /** It refused a new session, or let it wait in vain. `nowMs`: monotonic. */
  suspect(target: Target, nowMs: number): void {
    this.forgetOld(nowMs);
    this.suspects.set(target.incarnation, nowMs + suspectMs);
  }

  /** It has answered. */
  trust(target: Target): void {
    this.suspects.delete(target.incarnation);
  }

  /** What to choose by at this moment; `lost`: the server that the session had. */
  choiceAt(nowMs: number, lost: Target | undefined): Choice {
    return {
      loadOf: (id) => this.sessions.get(id) ?? 0,
      isSuspect: ({ incarnation }) => (this.suspects.get(incarnation) ?? nowMs) > nowMs,
      isLost: (target) => lost !== undefined && isSameLife(target, lost),
    };
  }

  private count(id: InstanceId, by: number): void {
    const count = (this.sessions.get(id) ?? 0) + by;
    if (count > 0) this.sessions.set(id, count);
    else this.sessions.delete(id);
  }

  private forgetOld(nowMs: number): void {
    for (const [incarnation, untilMs] of this.suspects)
      if (untilMs <= nowMs) this.suspects.delete(incarnation);
  }
}

/** Where one client's session is, or is about to be. */
export class Seat {
  private readonly count: (id: InstanceId, by: number) => void;
  private at: InstanceId | undefined;

  constructor(count: (id: InstanceId, by: number) => void) {
    this.count = count;
  }

  /** It is there now, and nowhere else. */
  take(id: InstanceId): void {
    this.leave();
    this.at = id;
    this.count(id, 1);
  }

  leave(): void {
    if (this.at !== undefined) this.count(this.at, -1);
    this.at = undefined;
  }
}

/** The same start of the same PostgreSQL, in the same role. */
export function isSameLife(a: Target, b: Target): boolean {
  return a.incarnation === b.incarnation && a.role === b.role;
}
