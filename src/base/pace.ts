/** How much time a scrub may take: all that it reads within `intervalMs`; or none between two reads, when somebody waits. */
export type Pace = { readonly intervalMs: number } | "now";

/** How long a background scrub rests after so many bytes, to be through `totalBytes` in `intervalMs`. */
export function restMs(
  bytes: number,
  pace: { readonly totalBytes: number; readonly intervalMs: number },
): number {
  return Math.min(pace.intervalMs, (pace.intervalMs * bytes) / Math.max(1, pace.totalBytes));
}
