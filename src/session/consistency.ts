/**
 * What a read on a reader waits for, by Aurora's names and with Aurora's meaning:
 * - off: writes are not forwarded
 * - eventual: nothing
 * - session: until the reader shows what this session has written
 * - global: until it shows all that was committed when the read arrived
 */
export type ConsistencyMode = "off" | "eventual" | "session" | "global";

export const consistencySetting = "apg_write_forward.consistency_mode";

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
