import { BorealisError, sqlState } from "../base/errors.ts";
import type { InstanceId } from "../base/ids.ts";
import { connectRpc, type RpcClient } from "../io/index.ts";
import type { PushedTopology } from "./routing-shell.ts";

/** A proxy's lines to instances' agents: one to each, made when first needed, and again when it was lost. */
export class AgentLines {
  private readonly topology: PushedTopology;
  private readonly lines = new Map<InstanceId, Promise<RpcClient>>();

  constructor(topology: PushedTopology) {
    this.topology = topology;
  }

  /** Raises 08006 when the agent does not listen, 57P03 when the instance is not known. */
  async to(id: InstanceId): Promise<RpcClient> {
    const known = this.lines.get(id);
    const client = await known?.catch(() => undefined);
    if (known && client && !client.closed) return client;
    // Somebody else may have dialled while this one waited: then theirs is used.
    if (this.lines.get(id) !== known) return this.to(id);
    const path = this.topology.agentSocketOf(id);
    if (path === undefined)
      throw new BorealisError(sqlState.cannotConnectNow, `${id} is not known here`);
    const dialled = connectRpc({ kind: "unix", path }, { timeoutMs: 1_000 });
    this.lines.set(id, dialled);
    return dialled;
  }
}
