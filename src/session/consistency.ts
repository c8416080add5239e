import { parseDurationMs } from "./probe.ts";

/**
 * What a read on a reader waits for, by Aurora's names and with Aurora's meaning:
 * - off: writes are not forwarded
 * - eventual: nothing
 * - session: until the reader shows what this session has written
 * - global: until it shows all that was committed when the read arrived
 */
export type ConsistencyMode = "off" | "eventual" | "session" | "global";

export const consistencySetting = "apg_write_forward.consistency_mode";
/** Seconds; 0: no limit. */
export const connectTimeoutSetting = "apg_write_forward.connect_timeout";
/** Milliseconds; 0: no limit. */
export const idleTimeoutSetting = "apg_write_forward.idle_session_timeout";

const modes: readonly string[] = [
  "off",
  "eventual",
  "session",
  "global",
] satisfies ConsistencyMode[];

function isMode(text: string): text is ConsistencyMode {
  return modes.includes(text);
}

/** In any case of letters; undefined: it is none. */
export function consistencyModeOf(value: string | undefined): ConsistencyMode | undefined {
  const text = value?.trim().toLowerCase() ?? "";
  return isMode(text) ? text : undefined;
}

/** A time of which 0 means that there is no limit (Infinity), bare numbers in `unit`. Undefined: it is none. */
export function parseLimitMs(
  value: string | null | undefined,
  unit: "s" | "ms",
): number | undefined {
  const text = value?.trim() ?? "";
  const ms = parseDurationMs(/^\d+$/.test(text) ? `${text}${unit}` : text);
  return ms === 0 ? Number.POSITIVE_INFINITY : ms;
}
