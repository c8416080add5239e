import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import type { ClusterEvent } from "../events/index.ts";
import {
  type FaultOrder,
  faultOrderSchema,
  holdingSchema,
  type Injected,
} from "../instance/index.ts";
import { connectRpc, type Logger, type RpcHandler } from "../io/index.ts";
import { type InjectedNodes, nodesInjectedSchema } from "./fault-messages.ts";
import { type DiskFault, faultEvents, nodeOrder, nodesOf, replicasOf } from "./faults.ts";
import type { Layout } from "./layout.ts";
import type { InstanceRoles } from "./roles-shell.ts";

const connectMs = 1_000;
const supervisorMs = 4_000;
const agentMs = 2_000;

type Note = (events: readonly Omit<ClusterEvent, "time">[]) => void;

/**
 * Hands injected faults to who is to have them: storage nodes, through the supervisor, and agents of readers. How long they last
 * is theirs to keep: it does not matter what becomes of the control plane meanwhile.
 */
export class FaultDesk {
  private readonly deps: { readonly logger: Logger; readonly layout: Layout };
  private readonly roles: Pick<InstanceRoles, "state" | "client">;
  private readonly note: Note;

  constructor(deps: FaultDesk["deps"], roles: FaultDesk["roles"], note: Note) {
    this.deps = deps;
    this.roles = roles;
    this.note = note;
  }

  readonly handlers: Readonly<Record<string, RpcHandler>> = {
    injectFault: (params) => this.inject(faultOrderSchema.parse(params)),
  };

  private async inject(order: FaultOrder): Promise<Injected> {
    const injected = await this.carryOut(order);
    this.deps.logger.warn({ event: "fault.injected", ...order, ...injected }, "injected fault");
    this.note(faultEvents(order, injected));
    return injected;
  }

  private carryOut({ fault, instance }: FaultOrder): Promise<Injected> | Injected {
    switch (fault.kind) {
      case "crash":
        // Its agent does it.
        return { on: [instance], untilMs: null };
      case "replicaFailure":
        return this.holdBack(replicasOf(fault.replica, this.roles.state), fault);
      case "diskFailure":
      case "diskCongestion":
        return this.injectNodes(fault);
      default:
        return fault satisfies never;
    }
  }

  private async holdBack(
    replicas: readonly string[],
    { percent, seconds }: { readonly percent: number; readonly seconds: number },
  ): Promise<Injected> {
    const held = await Promise.all(
      replicas.map(async (id) => {
        const client = this.roles.client(id);
        try {
          const answer = await client?.call(
            "holdLog",
            { percent, seconds },
            { timeoutMs: agentMs },
          );
          return answer === undefined
            ? { id, untilMs: null, why: "its agent does not answer" }
            : { id, untilMs: holdingSchema.parse(answer).untilMs, why: null };
        } catch (error) {
          return { id, untilMs: null, why: messageOf(error) };
        }
      }),
    );
    return injectedOf(held);
  }

  private async injectNodes(fault: DiskFault): Promise<Injected> {
    const ids = nodesOf(fault, this.roles.state);
    const path = this.deps.layout.supervisorSocket;
    const client = await connectRpc({ kind: "unix", path }, { timeoutMs: connectMs });
    try {
      const params = { ids, order: nodeOrder(fault) };
      const answer = await client.call("injectFault", params, { timeoutMs: supervisorMs });
      return injectedOf(nodesInjectedSchema.parse(answer));
    } finally {
      client.close();
    }
  }
}

/** One that has it is enough: others are away, which is a fault of its own. Raises 55000 where nobody has it. */
function injectedOf(asked: InjectedNodes): Injected {
  const took = asked.flatMap(({ id, untilMs }) => (untilMs === null ? [] : [{ id, untilMs }]));
  if (took.length === 0) {
    const why = asked.map((one) => `${one.id}: ${one.why}`).join("; ");
    throw new BorealisError(sqlState.notInPrerequisiteState, `nobody has taken the fault (${why})`);
  }
  return { on: took.map(({ id }) => id), untilMs: Math.max(...took.map((one) => one.untilMs)) };
}
