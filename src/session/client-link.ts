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
