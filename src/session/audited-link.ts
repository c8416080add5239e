import type { ClientLink } from "./client-link.ts";
import type { StatementTap } from "./statement-tap.ts";

/** A client whose bytes are looked at on their way. */
export function auditedLink(client: ClientLink, tap: StatementTap): ClientLink {
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
        tap.see(chunk);
        handler(chunk);
      }),
    onDrain: (handler) => client.onDrain(handler),
    onEnd: (handler) => client.onEnd(handler),
    onClose: (handler) => client.onClose(handler),
  };
}
