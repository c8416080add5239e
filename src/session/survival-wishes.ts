import { parseDurationMs, parseSwitch } from "./probe.ts";

/** What a session wants when its instance goes away. */
export interface SurvivalWishes {
  /** disconnect: the socket closes without a message, as Aurora's wrappers expect (decisions.md D23). */
  readonly onFailover: "continue" | "disconnect";
  /** Whether transactions are run again. */
  readonly isReplayed: boolean;
  /** How long it waits for another; undefined: as the cluster has it. */
  readonly holdTimeoutMs: number | undefined;
}

export const defaultWishes: SurvivalWishes = {
  onFailover: "continue",
  isReplayed: true,
  holdTimeoutMs: undefined,
};

/** A setting of that name was given `value`; null: it was reset; undefined: only the server knows. Others change nothing. */
export function applyWish(
  wishes: SurvivalWishes,
  name: string,
  value: string | null | undefined,
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
    default:
      return wishes;
  }
}
