import { messageOf } from "../base/errors.ts";
import { connectRpc, type Logger } from "../io/index.ts";
import type { Layout } from "./layout.ts";
import { type KillAgent, type ProcessReport, processesSchema } from "./process-messages.ts";

/** What the supervisor says of its processes, by name; nothing if it does not answer. */
export async function askProcesses({
  layout,
  logger,
}: {
  readonly layout: Layout;
  readonly logger: Logger;
}): Promise<ReadonlyMap<string, ProcessReport>> {
  try {
    const path = layout.supervisorSocket;
    const client = await connectRpc({ kind: "unix", path }, { timeoutMs: 1_000 });
    const answer = await client.call("processes", {}, { timeoutMs: 2_000 });
    client.close();
    return new Map(processesSchema.parse(answer).map((one) => [one.name, one]));
  } catch (error) {
    logger.warn({ event: "supervisor.unreachable" }, messageOf(error));
    return new Map();
  }
}

/** Has the supervisor kill an agent that hangs, which it then starts again. Raises 08006 if it does not answer. */
export async function killAgent({ supervisorSocket }: Layout, agent: KillAgent): Promise<void> {
  const address = { kind: "unix", path: supervisorSocket } as const;
  const client = await connectRpc(address, { timeoutMs: 1_000 });
  try {
    await client.call("killAgent", agent, { timeoutMs: 2_000 });
  } finally {
    client.close();
  }
}
