import type { PgClient } from "../wire/index.ts";

/** A statement of our own, given up when `signal` says so: it may be waiting for a quorum that never answers. */
export async function queryUntil(
  client: PgClient,
  sql: string,
  signal: AbortSignal,
): Promise<void> {
  if (signal.aborted) throw signal.reason;
  const onAbort = (): void => client.destroy();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    await client.query(sql);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
