import {
  type ConsistencyMode,
  connectTimeoutSetting,
  consistencyModeOf,
  consistencySetting,
  idleTimeoutSetting,
  parseLimitMs,
} from "./consistency.ts";
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
  /** How long a connection to the writer may take that forwarding needs; Infinity: as long as the session waits at all. */
  readonly connectTimeoutMs: number;
  /** A connection to the writer that forwarding has not used for so long is closed; Infinity: never. */
  readonly idleTimeoutMs: number;
  /** Whether its server may be given to others between transactions; undefined: as its endpoint has it. */
  readonly isPooled: boolean | undefined;
}

/** The settings that say so. */
export const wishSettings: readonly string[] = [
  "borealis.on_failover",
  "borealis.replay",
  "borealis.hold_timeout",
  "borealis.pool",
  consistencySetting,
  connectTimeoutSetting,
  idleTimeoutSetting,
];

export const defaultWishes: SurvivalWishes = {
  onFailover: "continue",
  isReplayed: true,
  holdTimeoutMs: undefined,
  consistency: "off",
  connectTimeoutMs: 30_000,
  idleTimeoutMs: 300_000,
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
    case "borealis.on_failover": {
      if (value === null) return { ...wishes, onFailover: atStart.onFailover };
      const isOff = value?.trim().toLowerCase() === "disconnect";
      return { ...wishes, onFailover: isOff ? "disconnect" : "continue" };
    }
    case "borealis.replay":
      if (value === null) return { ...wishes, isReplayed: atStart.isReplayed };
      return { ...wishes, isReplayed: parseSwitch(value) ?? true };
    case "borealis.hold_timeout":
      if (value === null) return { ...wishes, holdTimeoutMs: atStart.holdTimeoutMs };
      return { ...wishes, holdTimeoutMs: parseDurationMs(value) };
    case "borealis.pool":
      return { ...wishes, isPooled: poolingOf(value) ?? atStart.isPooled };
    case consistencySetting:
      if (value === null) return { ...wishes, consistency: atStart.consistency };
      return { ...wishes, consistency: consistencyModeOf(value) ?? "off" };
    case connectTimeoutSetting: {
      const { connectTimeoutMs } = value === null ? atStart : defaultWishes;
      return { ...wishes, connectTimeoutMs: parseLimitMs(value, "s") ?? connectTimeoutMs };
    }
    case idleTimeoutSetting: {
      const { idleTimeoutMs } = value === null ? atStart : defaultWishes;
      return { ...wishes, idleTimeoutMs: parseLimitMs(value, "ms") ?? idleTimeoutMs };
    }
    case "*":
      // Only the server knows: at worst a write is refused that could have been forwarded.
      return value === null ? atStart : { ...wishes, consistency: "off" };
    default:
      return wishes;
  }
}

function poolingOf(value: string | null | undefined): boolean | undefined {
  const text = value?.trim().toLowerCase();
  return text === "auto" ? true : parseSwitch(text);
}
