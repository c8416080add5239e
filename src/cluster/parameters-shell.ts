import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import type { ClusterEvent } from "../events/index.ts";
import {
  adoptionSchema,
  notTakenSchema,
  type ParameterChange,
  type ParameterStates,
  parameterStatesSchema,
  type ParameterValues,
  triedSchema,
} from "../instance/index.ts";
import type { Logger, RpcClient, RpcHandler } from "../io/index.ts";
import {
  type ParameterRow,
  type ParameterWish,
  parameterWishSchema,
} from "./parameter-messages.ts";
import {
  parameterNames,
  parameterRows,
  parametersOf,
  requireAnybodys,
  resetsOf,
  withParameters,
} from "./parameters.ts";
import type { InstanceRoles } from "./roles-shell.ts";

type Roles = Pick<
  InstanceRoles,
  "state" | "changeState" | "client" | "agentLines" | "requireSettled" | "untilHeard"
>;

const tryMs = 6_000;
/** Who does not answer hears it when it does. */
const tellMs = 8_000;
const statesMs = 2_000;

/**
 * What users have set for the cluster and for instances: kept here, told to agents, which have PostgreSQL take it. PostgreSQL
 * itself judges what is new, on an instance, before it is kept.
 */
export class Parameters {
  private readonly logger: Logger;
  private readonly roles: Roles;
  private readonly note: (news: readonly Omit<ClusterEvent, "time">[]) => void;

  constructor({ logger }: { readonly logger: Logger }, roles: Roles, note: Parameters["note"]) {
    this.logger = logger;
    this.roles = roles;
    this.note = note;
  }

  readonly handlers: Readonly<Record<string, RpcHandler>> = {
    adoptParameters: (params) => {
      const { instance, changes } = adoptionSchema.parse(params);
      return this.adopt(instance, changes);
    },
    setParameter: (params) => this.change(parameterWishSchema.parse(params)),
    parameters: () => this.list(),
    parametersNotTaken: (params) => {
      const { instance, why } = notTakenSchema.parse(params);
      const message = `PostgreSQL does not start with its parameters, and has started without those that were new: ${why}`;
      this.note([{ sourceType: "instance", source: instance, category: "failure", message }]);
    },
  };

  /** Before any order: whoever starts its PostgreSQL is to know. */
  greet(id: string, client: RpcClient): void {
    void this.tell(id, client);
  }

  /** Somebody has run ALTER SYSTEM there; that instance takes it from the answer, the others have taken it by then. */
  private async adopt(instance: string, changes: ParameterChange[]): Promise<ParameterValues> {
    this.keep(null, changes);
    // One that has just begun has no line to the others yet.
    await this.roles.untilHeard();
    await this.tellAll(instance);
    return parametersOf(this.roles.state, instance);
  }

  private async change({ name, value, instance }: ParameterWish): Promise<ParameterRow[]> {
    const { roles } = this;
    roles.requireSettled();
    await roles.untilHeard();
    if (name === null || value === null) {
      this.keep(instance, resetsOf(roles.state, instance, name));
    } else {
      requireAnybodys(name, roles.state);
      const change = { name: name.toLowerCase(), value };
      // Whether it would be kept.
      withParameters(roles.state, instance, [change]);
      await this.setJudged(instance, change);
    }
    await this.tellAll();
    const scope = instance ?? "cluster";
    return (await this.list()).filter((row) => row.scope === scope);
  }

  /** What the judge has taken and the cluster has not, it gives back: what it is told has it not. */
  private async setJudged(
    instance: string | null,
    change: { readonly name: string; readonly value: string },
  ): Promise<void> {
    const id = instance ?? this.roles.state.writer;
    const judge = this.judge(id);
    try {
      const tried = await judge.call("tryParameter", change, { timeoutMs: tryMs });
      this.keep(instance, [{ ...change, ...triedSchema.parse(tried) }]);
    } catch (error) {
      await this.tell(id, judge);
      // To whoever asked, a lost line would be one to the control plane, and nobody would know what was done.
      if (!(error instanceof BorealisError) || error.code !== sqlState.connectionFailure)
        throw error;
      throw new BorealisError(
        sqlState.cannotConnectNow,
        `${id} went away while it judged the value, which is not set`,
        { hint: "try again when borealis status shows it available", cause: error },
      );
    }
  }

  private judge(id: string): RpcClient {
    const client = this.roles.client(id);
    if (client) return client;
    throw new BorealisError(
      sqlState.cannotConnectNow,
      `${id} does not answer, and nobody else can judge the value`,
      { hint: "borealis status shows what is missing; try again when it is available" },
    );
  }

  private keep(instance: string | null, changes: readonly ParameterChange[]): void {
    this.roles.changeState((state) => withParameters(state, instance, changes));
    const scope = instance ?? "cluster";
    const names = changes.map(({ name }) => name);
    this.logger.info({ event: "parameters.changed", scope, names });
  }

  private async tellAll(except?: string): Promise<void> {
    const lines = [...this.roles.agentLines()].filter(([id]) => id !== except);
    await Promise.all(lines.map(([id, client]) => this.tell(id, client)));
  }

  private async tell(id: string, client: RpcClient): Promise<void> {
    try {
      await client.call("setParameters", parametersOf(this.roles.state, id), { timeoutMs: tellMs });
    } catch (error) {
      this.logger.warn({ event: "parameters.notTold", instance: id }, messageOf(error));
    }
  }

  private async list(): Promise<ParameterRow[]> {
    const names = parameterNames(this.roles.state);
    const states = new Map<string, ParameterStates>();
    const asked = [...this.roles.agentLines()].map(async ([id, client]) => {
      const answer = await client.call("parameterStates", { names }, { timeoutMs: statesMs });
      states.set(id, parameterStatesSchema.parse(answer));
    });
    await Promise.allSettled(names.length > 0 ? asked : []);
    return parameterRows(this.roles.state, states);
  }
}
