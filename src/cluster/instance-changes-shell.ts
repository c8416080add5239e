import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import { type Clock, connectRpc, type Logger, type RpcHandler, sleep } from "../io/index.ts";
import {
  type InstanceWish,
  plannedInstance,
  withInstance,
  withoutInstance,
  withoutLeft,
  withTier,
} from "./instances.ts";
import type { Layout } from "./layout.ts";
import { addInstanceSchema, leavingSchema, modifyInstanceSchema, namedSchema } from "./messages.ts";
import type { ClusterState, InstanceState } from "./state.ts";

export interface InstanceChangesOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly layout: Layout;
  /** The cluster's state, and its durable replacement in one go. */
  readonly state: () => ClusterState;
  readonly save: (change: (state: ClusterState) => ClusterState) => void;
  readonly roles: {
    /** Follows the state's instances from now on, and tells the proxies which there are. */
    followInstances(): void;
    /** Who is the writer may change at any moment. */
    readonly isFailingOver: boolean;
  };
  /** Raises 55000 while instances cannot be changed at all. */
  readonly requireReady: () => void;
  /** Raises if an instance of that name and number could not run on this host: 22023 for its name, 55000 for its port. */
  readonly requirePlace: (instance: InstanceState) => Promise<void>;
}

/** Between two questions whether an instance that was removed is gone. */
const askEveryMs = 200;
const retryMs = 500;
const answerMs = 10_000;

/**
 * Adds, removes and changes instances while the cluster runs. Each change is in control/state.json before anything is
 * done about it: supervisor, proxies and roles follow the state, whoever dies meanwhile.
 */
export class InstanceChanges {
  private readonly options: InstanceChangesOptions;
  private changing: Promise<unknown> = Promise.resolve();
  /** The supervisor may not know yet: also of what a control plane before this one wrote down. */
  private isTold = false;
  private poked: (() => void) | undefined;

  constructor(options: InstanceChangesOptions) {
    this.options = options;
  }

  readonly handlers: Readonly<Record<string, RpcHandler>> = {
    addInstance: (params) => this.add(addInstanceSchema.parse(params)),
    removeInstance: (params) => this.remove(namedSchema.parse(params).id),
    modifyInstance: (params) => {
      const { id, tier } = modifyInstanceSchema.parse(params);
      return this.modify(id, tier);
    },
    leavingInstances: () => ({ leaving: this.leaving }),
  };

  /** Resolves when the instance is one of the cluster's, with everything about it that was chosen. */
  add(wish: InstanceWish): Promise<InstanceState> {
    return this.inTurn(async () => {
      const { state, save, requireReady, requirePlace, logger } = this.options;
      requireReady();
      const added = plannedInstance(state(), wish);
      await requirePlace(added);
      requireReady();
      save((now) => withInstance(now, added));
      logger.info({ event: "instance.added", instance: added.id, az: added.az, tier: added.tier });
      this.follow();
      return added;
    });
  }

  /** Resolves when it is none of the cluster's any more; `leaving` tells until when something of it is left. */
  remove(id: string): Promise<void> {
    return this.inTurn(() => {
      const { state, save, requireReady, roles, logger } = this.options;
      requireReady();
      const next = withoutInstance(state(), id);
      if (roles.isFailingOver) throw failingOver();
      save(() => next);
      logger.info({ event: "instance.removed", instance: id });
      this.follow();
    });
  }

  /** Changes its place in the order of failover. */
  modify(id: string, tier: number): Promise<void> {
    return this.inTurn(() => {
      this.options.requireReady();
      this.options.save((now) => withTier(now, id, tier));
      this.options.logger.info({ event: "instance.modified", instance: id, tier });
    });
  }

  get leaving(): string[] {
    return (this.options.state().leaving ?? []).map((one) => one.id);
  }

  /** Tells the supervisor, and forgets who has left, for ever. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      let pauseMs: number | undefined;
      try {
        if (!this.isTold || this.leaving.length > 0) await this.tellSupervisor();
        if (this.leaving.length > 0) pauseMs = askEveryMs;
      } catch (error) {
        this.options.logger.debug({ event: "supervisor.notTold" }, messageOf(error));
        pauseMs = retryMs;
      }
      await this.pause(pauseMs, signal);
    }
  }

  private follow(): void {
    this.options.roles.followInstances();
    this.isTold = false;
    this.poked?.();
  }

  private async tellSupervisor(): Promise<void> {
    const { layout, save, logger } = this.options;
    const asked = this.leaving;
    this.isTold = true;
    const path = layout.supervisorSocket;
    try {
      const client = await connectRpc({ kind: "unix", path }, { timeoutMs: 1_000 });
      try {
        const answer = await client.call("followInstances", {}, { timeoutMs: answerMs });
        const { leaving } = leavingSchema.parse(answer);
        const gone = asked.filter((id) => !leaving.includes(id));
        if (gone.length === 0) return;
        save((now) => withoutLeft(now, gone));
        logger.info({ event: "instance.gone", instances: gone });
      } finally {
        client.close();
      }
    } catch (error) {
      this.isTold = false;
      throw error;
    }
  }

  /** Undefined: until something changes. */
  private async pause(ms: number | undefined, signal: AbortSignal): Promise<void> {
    if (ms === undefined && !this.isTold) return;
    const poke = new AbortController();
    this.poked = () => poke.abort(new Error("an instance was added or removed"));
    await sleep(this.options.clock, ms ?? 60_000, AbortSignal.any([signal, poke.signal]));
    this.poked = undefined;
  }

  /** One change after the other: each is planned on what the last one left. */
  private inTurn<T>(change: () => T | Promise<T>): Promise<T> {
    const next = this.changing.catch(() => undefined).then(change);
    this.changing = next;
    return next;
  }
}

/** Why the writer-to-be stays; for whoever asks for its removal. */
function failingOver(): BorealisError {
  const why = "a failover is under way: who will be the writer is not decided";
  return new BorealisError(sqlState.notInPrerequisiteState, why, {
    hint: "try again when borealis status says available",
  });
}
