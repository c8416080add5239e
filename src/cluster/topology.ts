import type { InstanceStatus } from "../instance/index.ts";
import { customRoutes, endpointPlaces } from "./endpoints.ts";
import type { Lag } from "./lag-watch.ts";
import { agentSocket, type Layout, postgresSocketDir } from "./layout.ts";
import { incarnationOf, isRecorded } from "./lives.ts";
import type { TopologyMessage } from "./messages.ts";
import type { ClusterState } from "./state.ts";

export interface TopologyFacts {
  readonly state: ClusterState;
  readonly layout: Layout;
  /** Of the writer endpoint. */
  readonly port: number;
  readonly status: (id: string) => InstanceStatus | undefined;
  readonly moves: {
    /** A writer that was given up, though it may not know. */
    isGivenUp(status: InstanceStatus): boolean;
    /** A writer that is to be started again. */
    isRestarting(status: InstanceStatus): boolean;
  };
  readonly lagOf: (status: InstanceStatus) => Lag;
  readonly silence: {
    /** A reader that answers nothing. */
    isSilent(status: InstanceStatus): boolean;
    /** One whose agent answers nothing, and never has. */
    isUnheard(id: string): boolean;
  };
}

/** What the proxies are told. Pure. */
export function topologyOf(facts: TopologyFacts): TopologyMessage {
  const { state, layout, port, moves } = facts;
  const { lives = [], isBootstrapped } = state;
  const writer = facts.status(state.writer);
  const isServing = writer?.role === "writer" && writer.isAdmitted && isRecorded(lives, writer);
  const isOpen = isServing && !moves.isRestarting(writer);
  const heir = heirTakingOver(facts);
  return {
    writer: isOpen ? writer.id : null,
    endpoints: endpointPlaces(state, port),
    instances: state.instances.flatMap(({ id }) => {
      const status = facts.status(id);
      if (!status) return [];
      const { role, epoch } = status;
      // It may be frozen, and not know: who is connected there must not wait for it.
      const isReplaced = isOpen && role === "writer" && id !== writer.id;
      const isDeposed = isReplaced || moves.isGivenUp(status);
      const isSilent = role === "reader" && facts.silence.isSilent(status);
      // Until the master user exists, a reader would refuse everybody in good faith.
      const mayServe =
        role === "writer" ? isRecorded(lives, status) : isBootstrapped && id !== heir;
      return {
        id,
        role: isDeposed ? ("none" as const) : role,
        isAdmitted: !isDeposed && !isSilent && status.isAdmitted && mayServe,
        isSilent,
        isLeaving:
          !isDeposed && role === "writer" && (id !== state.writer || moves.isRestarting(status)),
        socketDir: postgresSocketDir(layout, id),
        agentSocket: agentSocket(layout, id),
        incarnation: incarnationOf(status),
        epoch,
        ...facts.lagOf(status),
      };
    }),
    unheard: state.instances.flatMap(({ id }) => {
      return facts.status(id) === undefined && facts.silence.isUnheard(id) ? [id] : [];
    }),
    custom: customRoutes(state),
    isRewinding: state.backtrack !== undefined,
    lives: [...lives],
  };
}

/**
 * Who is to write in place of a lost writer, and nobody else does: who came to it now would lose it as a reader some moments later;
 * as the writer they may stay.
 */
function heirTakingOver({ state, status, moves }: TopologyFacts): string | undefined {
  const isWriting = state.instances.some(({ id }) => {
    const one = status(id);
    return one?.role === "writer" && !moves.isGivenUp(one);
  });
  return isWriting ? undefined : state.writer;
}
