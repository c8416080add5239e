import type { Connection } from "../io/index.ts";

/** What a session needs of its client: a socket, or whoever stands between. */
export type ClientLink = Pick<
  Connection,
  | "closed"
  | "write"
  | "cork"
  | "uncork"
  | "pause"
  | "resume"
  | "end"
  | "destroy"
  | "onData"
  | "onDrain"
  | "onEnd"
  | "onClose"
>;

/** Another's link, but for what is given. */
export function linkOver(client: ClientLink, own: Partial<Omit<ClientLink, "closed">>): ClientLink {
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
    onData: (handler) => client.onData(handler),
    onDrain: (handler) => client.onDrain(handler),
    onEnd: (handler) => client.onEnd(handler),
    onClose: (handler) => client.onClose(handler),
    ...own,
  };
}
