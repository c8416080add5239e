import type { BorealisError } from "../base/errors.ts";
import type { Clock, Logger } from "../io/index.ts";
import type { Action, Outcome, UpTo } from "./action.ts";
import type { BackendStart } from "./backend-shell.ts";
import type { AwaitDurable } from "./durability-shell.ts";
import type { ExchangeOptions } from "./exchange-options.ts";
import type { Fates } from "./fates-shell.ts";
import type { TraitChange } from "./traits.ts";
import type { ReadGate } from "./read-gate-shell.ts";
import type { SessionCounters } from "./session-counters.ts";
import type { Target } from "./topology.ts";

export interface WantedServer {
  readonly lost: Target | undefined;
  /** It only hung: it may be had again. */
  readonly mayReturn?: boolean;
  /** Wherever its endpoint leads: a reader would refuse what is to be run. */
  readonly needsWriter?: boolean;
  /** Of a pool: one that nobody has used. */
  readonly isNew?: boolean;
  readonly holdTimeoutMs: number;
  readonly isWanted: () => boolean;
}

export type ServerStart =
  | BackendStart
  /** All servers of its pool were in use for too long. */
  | { readonly kind: "exhausted"; readonly error: BorealisError };

/** What a session needs of the endpoints and the cluster around it. */
export interface SessionWorld {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly counters: SessionCounters;
  readonly awaitDurable: AwaitDurable;
  readonly fates: Fates;
  /** How long a result may be held at the gate, and a session while there is no server for it. */
  readonly holdTimeoutMs: number;
  /** What a server there says passes it; undefined: at once. */
  gateOf(target: Target): ReadGate | undefined;
  exchangeOf(target: Target): ExchangeOptions;
  /** Its server is one of a pool, and is given to others while it needs none. */
  readonly isPooled: boolean;
  /** How long a pooled session may be without a server, unless it has set another idle_session_timeout; 0: for ever. */
  readonly idleTimeoutMs: number;
  /**
   * Another server, of any life but `lost`, unless that may return. Given up once `isWanted` says no; `nobody` comes where no instance took it
   * within `holdTimeoutMs`.
   */
  connect(wanted: WantedServer): ServerStart | Promise<ServerStart>;
  /** Whether what a server there does from here on counts for nothing: no commit of it can come to be any more. */
  isOver(target: Target): boolean;
  /** A writer that is about to stop: nothing more is to begin there. */
  isLeaving(target: Target): boolean;
  /** A reader that answers nothing: nobody is to wait for it. */
  isSilent(target: Target): boolean;
  /** Whether its endpoint leads to another server at this moment. */
  hasOther(target: Target): boolean;
  /** It took the session, and answered nothing: others are preferred for a while. */
  distrust(target: Target): void;
  /** Whether this life of it goes on, and takes connections at this moment: then one server's end was its alone. */
  isServing(target: Target): Promise<boolean>;
  /** Whether a server process that was ended by 57P01 was ended alone, by somebody who meant it. */
  wasEndedOnPurpose(target: Target): Promise<boolean>;
  /** Until the cluster knows that this life of it has ended; half a second at most: one server's end may have been its alone. */
  untilLossIsKnown(target: Target): Promise<void>;
  onTraitsChanging(change: TraitChange): void;
  onTraitsSettled(): void;
  /** Called once, when both connections are done with. */
  onEnd(): void;
}

/** The life that a session is not to be led to again. */
export function lifeToAvoid({
  lost,
  mayReturn,
}: Pick<WantedServer, "lost" | "mayReturn">): Target | undefined {
  return mayReturn === true ? undefined : lost;
}

/** Rejects as AwaitDurable does; resolves with an error that the client is to be told in the place of success. */
export async function untilDurable(
  { awaitDurable }: Pick<SessionWorld, "awaitDurable">,
  upTo: UpTo,
  target: Target,
): Promise<BorealisError | undefined> {
  const { instanceId, role } = target;
  const isSetting = upTo === "parameters";
  const refusal = isSetting ? await awaitDurable.untilParametersKept(target) : undefined;
  if (upTo === "flushed") await awaitDurable.untilFlushed(instanceId);
  // What else is in the cycle of an ALTER SYSTEM is a commit like any other; a reader has none.
  else if (!isSetting || role === "writer") await awaitDurable.untilInserted(instanceId);
  return refusal;
}

/** How a session has lost a server. */
export function tellOutcome(
  { logger, counters }: Pick<SessionWorld, "logger" | "counters">,
  facts: { pid: number; outcome: Outcome; reason: string | undefined; instance: string },
): void {
  logger.info({ event: "session.survived", ...facts });
  counters.outcomes.count(facts.outcome);
}

/** What happens in a session that others need to know. */
export function tellWorld(
  world: SessionWorld,
  action: Extract<Action, { kind: "told" | "traitsChanging" | "traitsSettled" }>,
): void {
  if (action.kind === "told") world.counters.told(action.code);
  else if (action.kind === "traitsChanging") world.onTraitsChanging(action.change);
  else world.onTraitsSettled();
}
