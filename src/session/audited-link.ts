import { InvariantBroken } from "../base/assert.ts";
import { encodeError } from "../wire/index.ts";
import { type ClientLink, linkOver } from "./client-link.ts";
import type { StatementTap } from "./statement-tap.ts";

/**
 * A client whose bytes are looked at on their way. Where that goes wrong they go no further: nothing runs that was not told.
 * The client is gone then, after `onBroken`.
 */
export function auditedLink(
  client: ClientLink,
  tap: Pick<StatementTap, "see">,
  onBroken: (error: unknown) => void,
): ClientLink {
  const see = (chunk: Buffer): boolean => {
    try {
      tap.see(chunk);
      return true;
    } catch (error) {
      if (error instanceof InvariantBroken) throw error;
      onBroken(error);
      client.write(encodeError(error, "FATAL"));
      client.destroy();
      return false;
    }
  };
  return linkOver(client, {
    onData: (handler) =>
      client.onData((chunk) => {
        if (see(chunk)) handler(chunk);
      }),
  });
}
