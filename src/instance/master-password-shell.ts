import type { Postgres } from "../engine/index.ts";
import { resetPasswordSql } from "./bootstrap.ts";
import type { MasterPassword } from "./messages.ts";
import { connectAgent } from "./postgres-shell.ts";
import { queryUntil } from "./query-until-shell.ts";

/**
 * The master user's password is another one, durably, when this resolves. In a session of its own, since it waits for the
 * quorum like any commit. Raises what PostgreSQL says, and `signal`'s reason.
 */
export async function resetMasterPassword(
  postgres: Pick<Postgres, "address">,
  wanted: MasterPassword,
  signal: AbortSignal,
): Promise<void> {
  const client = await connectAgent(postgres);
  try {
    await queryUntil(client, resetPasswordSql(wanted), signal);
  } finally {
    client.destroy();
  }
}
