import { InvariantBroken } from "../base/assert.ts";
import { encodeError } from "../wire/index.ts";
import type { ClientLink } from "./client-link.ts";
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
  return {
    get closed() {
      return client.closed;
    },
    write: (bytes) => client.write(bytes),
    cork: () => client.cork(),
    uncork: () => client.uncork(),
    pause: () => client.pause(),
    resume: () => client.resume(),
    end: (bytes) => client.end(bytes),
    destroy: (error) => client.destroy(error),
    onData: (handler) =>
      client.onData((chunk) => {
        if (see(chunk)) handler(chunk);
      }),
    onDrain: (handler) => client.onDrain(handler),
    onEnd: (handler) => client.onEnd(handler),
    onClose: (handler) => client.onClose(handler),
  };
}
