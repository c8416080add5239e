import type { InstanceStatus } from "../instance/index.ts";
import type { RpcClient } from "../io/index.ts";

/** What the control plane knows of one agent. */
export interface AgentLine {
  client: RpcClient | undefined;
  status: InstanceStatus | undefined;
  /** It took our last call, and told nothing. */
  wasMute: boolean;
  /** The order that was given to this life of the agent, so that it is given once. */
  orderedFor: string | undefined;
  /** A reader: the writer that its feedback goes to. */
  toldWriter: string | undefined;
  /** Ends when the instance is removed. */
  readonly leaving: AbortController;
}

/** It has taken our call, and told nothing yet. */
export function isMute({ client, status }: Pick<AgentLine, "client" | "status">): boolean {
  return client !== undefined && status === undefined;
}

/** ... now, or when it was called last: that ends for a moment, and begins anew. */
export function isUnheard(
  line: Pick<AgentLine, "client" | "status" | "wasMute"> | undefined,
): boolean {
  return line !== undefined && (isMute(line) || (line.wasMute && !line.status));
}
