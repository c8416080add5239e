import { type ConsistencyMode, consistencyModeOf, consistencySetting } from "./consistency.ts";
import { parseDurationMs, parseSwitch } from "./probe.ts";

/** What a session wants when its instance goes away, and of an instance that only reads. */
export interface SurvivalWishes {
  /** disconnect: the socket closes without a message, as Aurora's wrappers expect (decisions.md D23). */
  readonly onFailover: "continue" | "disconnect";
  /** Whether transactions are run again. */
  readonly isReplayed: boolean;
  /** How long it waits for another; undefined: as the cluster has it. */
  readonly holdTimeoutMs: number | undefined;
  /** Whether writes are forwarded to the writer, and what reads wait for then. */
  readonly consistency: ConsistencyMode;
  /** Whether its server may be given to others between transactions; undefined: as its endpoint has it. */
  readonly isPooled: boolean | undefined;
}

export const defaultWishes: SurvivalWishes = {
  onFailover: "continue",
  isReplayed: true,
  holdTimeoutMs: undefined,
  consistency: "off",
  isPooled: undefined,
};

/**
 * A setting of that name was given `value`; null: it was reset; undefined: only the server knows. Others change nothing.
 * Of all of them (RESET ALL) the name is "*". `atStart` is what the session began with.
 */
export function applyWish(
  wishes: SurvivalWishes,
  name: string,
  value: string | null | undefined,
  atStart: SurvivalWishes = defaultWishes,
): SurvivalWishes {
  switch (name) {
    case "borealis.on_failover":
      return {
        ...wishes,
        onFailover: value?.trim().toLowerCase() === "disconnect" ? "disconnect" : "continue",
      };
    case "borealis.replay":
      return { ...wishes, isReplayed: parseSwitch(value ?? undefined) ?? true };
    case "borealis.hold_timeout":
      return { ...wishes, holdTimeoutMs: parseDurationMs(value ?? undefined) };
    case "borealis.pool":
      return { ...wishes, isPooled: poolingOf(value) ?? atStart.isPooled };
    case consistencySetting:
      if (value === null) return { ...wishes, consistency: atStart.consistency };
      return { ...wishes, consistency: consistencyModeOf(value) ?? "off" };
    case "*":
      // Only the server knows: at worst a write is refused that could have been forwarded.
      return { ...wishes, consistency: value === null ? atStart.consistency : "off" };
    default:
      return wishes;
  }
}

function poolingOf(value: string | null | undefined): boolean | undefined {
  const text = value?.trim().toLowerCase();
  return text === "auto" ? true : parseSwitch(text);
}
