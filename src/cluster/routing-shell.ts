import { instanceId, type InstanceId } from "../base/ids.ts";
import { BorealisError, OutcomeUnknown, sqlState } from "../base/errors.ts";
import { connectRpc, type RpcClient } from "../io/index.ts";
import { socketPort } from "../engine/index.ts";
import type { AwaitDurable, Target, Topology } from "../session/index.ts";
import type { TopologyFollower } from "./follow-shell.ts";
import type { TopologyMessage } from "./messages.ts";

type InstanceView = TopologyMessage["instances"][number];

function toTarget(view: InstanceView): Target | undefined {
  if (!view.isAdmitted || view.role === "none") return undefined;
  return {
    instanceId: instanceId(view.id),
    role: view.role,
    address: { socketDir: view.socketDir, port: socketPort },
    incarnation: incarnationOf(view),
  };
}

function incarnationOf(view: InstanceView): string {
  return `${view.id}.${view.incarnation}`;
}

/** The endpoints' view of the cluster, from what the control plane pushed last. */
export class PushedTopology implements Topology {
  private readonly follower: TopologyFollower;
  private readonly listeners = new Set<() => void>();
  private turn = 0;

  constructor(follower: TopologyFollower) {
    this.follower = follower;
    follower.onChange(() => {
      for (const listener of this.listeners) listener();
    });
  }

  writer(): Target | undefined {
    const { writer, instances } = this.follower.current;
    const view = instances.find((one) => one.id === writer);
    return view && toTarget(view);
  }

  /** Readers take turns; the writer stands in when there is none. */
  reader(): Target | undefined {
    const readers = this.follower.current.instances.filter(
      (one) => one.role === "reader" && one.isAdmitted,
    );
    if (readers.length === 0) return this.writer();
    this.turn = (this.turn + 1) % readers.length;
    const view = readers[this.turn];
    return view && toTarget(view);
  }

  instance(id: InstanceId): Target | undefined {
    const view = this.follower.current.instances.find((one) => one.id === id);
    return view && toTarget(view);
  }

  hasEnded(target: Target): boolean {
    const view = this.follower.current.instances.find((one) => one.id === target.instanceId);
    if (!view) return false;
    return incarnationOf(view) !== target.incarnation || view.role !== target.role;
  }

  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Where an instance's agent listens, if the instance is known. */
  agentSocketOf(id: InstanceId): string | undefined {
    return this.follower.current.instances.find((one) => one.id === id)?.agentSocket;
  }
}

/** Asks the writer's agent when something is durable; one line to each agent, made when first needed. */
export class AgentDurability implements AwaitDurable {
  private readonly topology: PushedTopology;
  private readonly lines = new Map<InstanceId, Promise<RpcClient>>();

  constructor(topology: PushedTopology) {
    this.topology = topology;
  }

  untilFlushed(id: InstanceId): Promise<void> {
    return this.ask(id, "flushed");
  }

  untilInserted(id: InstanceId): Promise<void> {
    return this.ask(id, "inserted");
  }

  private async ask(id: InstanceId, what: "flushed" | "inserted"): Promise<void> {
    try {
      const line = await this.line(id);
      await line.call("untilDurable", { what });
    } catch (cause) {
      if (cause instanceof BorealisError && cause.code === sqlState.outcomeUnknown) throw cause;
      throw new OutcomeUnknown(
        "the writer went away while a commit waited for the storage quorum",
        { cause },
      );
    }
  }

  private async line(id: InstanceId): Promise<RpcClient> {
    const known = this.lines.get(id);
    const client = await known?.catch(() => undefined);
    if (known && client && !client.closed) return client;
    // Somebody else may have dialled while this one waited: then theirs is used.
    if (this.lines.get(id) !== known) return this.line(id);
    const path = this.topology.agentSocketOf(id);
    if (path === undefined)
      throw new BorealisError(sqlState.cannotConnectNow, `${id} is not known here`);
    const dialled = connectRpc({ kind: "unix", path }, { timeoutMs: 1_000 });
    this.lines.set(id, dialled);
    return dialled;
  }
}
