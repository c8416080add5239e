import { instanceId, type InstanceId } from "../base/ids.ts";
import { BorealisError, OutcomeUnknown, sqlState } from "../base/errors.ts";
import { socketPort } from "../engine/index.ts";
import type { AwaitDurable, Choice, Target, Topology, WriterLife } from "../session/index.ts";
import type { AgentLines } from "./agent-lines-shell.ts";
import { leastBusy } from "./balance.ts";
import { membersFor, readersFor, whyNobody } from "./endpoints.ts";
import type { TopologyFollower } from "./follow-shell.ts";
import type { TopologyMessage } from "./messages.ts";

type InstanceView = TopologyMessage["instances"][number];

function incarnationOf(view: InstanceView): string {
  return `${view.id}.${view.incarnation}`;
}

/** For one who asks once, and stays nowhere. */
const anyOne: Choice = { loadOf: () => 0, isSuspect: () => false, isLost: () => false };

/** The endpoints' view of the cluster, from what the control plane pushed last. */
export class PushedTopology implements Topology {
  private readonly follower: TopologyFollower;
  private readonly postgresMajor: number;
  private readonly listeners = new Set<() => void>();
  private turn = 0;
  /** The highest ever heard of: a topology may lack the instance that told. */
  private epoch = 0;

  constructor(follower: TopologyFollower, postgresMajor: number) {
    this.follower = follower;
    this.postgresMajor = postgresMajor;
    follower.onChange(() => {
      for (const { epoch } of follower.current.instances) this.epoch = Math.max(this.epoch, epoch);
      for (const listener of this.listeners) listener();
    });
  }

  writer(): Target | undefined {
    const { writer, instances } = this.follower.current;
    const view = instances.find((one) => one.id === writer);
    return view && this.targetOf(view);
  }

  reader(choice: Choice = anyOne): Target | undefined {
    const { writer } = this.follower.current;
    const available = this.available(choice);
    // The writer rather than readers of which none answers.
    const answering = available.filter((view) => {
      const target = this.targetOf(view);
      return target !== undefined && !choice.isSuspect(target);
    });
    const targets = [answering, available].map((views) => readersFor(views, writer));
    return this.choose(targets.find((views) => views.length > 0) ?? [], choice);
  }

  custom(endpoint: string, choice: Choice): Target | undefined {
    const route = this.follower.current.custom.find((one) => one.id === endpoint);
    return route && this.choose(membersFor(route, this.available(choice)), choice);
  }

  whyNobody(endpoint: string): string | undefined {
    const { custom, instances } = this.follower.current;
    const route = custom.find((one) => one.id === endpoint);
    return route && whyNobody(route, instances);
  }

  /** Who may be chosen at all: not a writer that hands over to another. */
  private available({ isLost }: Choice): InstanceView[] {
    const { instances, writer } = this.follower.current;
    return instances.filter((view) => {
      const isOut = this.isBehind(view) || (view.role === "writer" && view.id !== writer);
      const target = isOut ? undefined : this.targetOf(view);
      return target !== undefined && !isLost(target);
    });
  }

  private choose(views: readonly InstanceView[], choice: Choice): Target | undefined {
    const targets = views.flatMap((view) => {
      const target = this.targetOf(view);
      return target ? [{ view, target }] : [];
    });
    const burdenOf = ({ view, target }: (typeof targets)[number]) => ({
      sessions: choice.loadOf(target.instanceId),
      lagMs: view.lagMs,
      isLagging: view.isLagging,
      isSuspect: choice.isSuspect(target),
    });
    return leastBusy(targets, burdenOf, this.turn++)?.target;
  }

  instance(id: InstanceId): Target | undefined {
    const view = this.follower.current.instances.find((one) => one.id === id);
    return view && !this.isBehind(view) ? this.targetOf(view) : undefined;
  }

  private targetOf(view: InstanceView): Target | undefined {
    if (!view.isAdmitted || view.role === "none") return undefined;
    return {
      instanceId: instanceId(view.id),
      role: view.role,
      address: { socketDir: view.socketDir, port: socketPort, major: this.postgresMajor },
      incarnation: incarnationOf(view),
    };
  }

  /**
   * A reader that has not heard of the newest epoch may lack what was committed in it, and nobody can say for how long:
   * new sessions do not go there (quorum-protocol.md, 14).
   */
  private isBehind(view: InstanceView): boolean {
    return view.role === "reader" && view.epoch < this.epoch;
  }

  hasEnded(target: Target): boolean {
    const { instances, endpoints } = this.follower.current;
    const view = instances.find((one) => one.id === target.instanceId);
    // Not heard of yet by a control plane that has just begun; or the cluster has it no more.
    if (!view)
      return endpoints.length > 0 && !endpoints.some((one) => one.id === target.instanceId);
    return incarnationOf(view) !== target.incarnation || view.role !== target.role;
  }

  isLeaving(target: Target): boolean {
    const view = this.follower.current.instances.find((one) => one.id === target.instanceId);
    return view?.isLeaving === true && incarnationOf(view) === target.incarnation;
  }

  isSilent(target: Target): boolean {
    const { instances, unheard } = this.follower.current;
    const view = instances.find((one) => one.id === target.instanceId);
    if (!view) return unheard.includes(target.instanceId);
    return view.isSilent && incarnationOf(view) === target.incarnation;
  }

  lives(): readonly WriterLife[] {
    return this.follower.current.lives.map((life) => ({ ...life, cutoff: BigInt(life.cutoff) }));
  }

  isRewinding(): boolean {
    return this.follower.current.isRewinding;
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

/** By which the cluster does not take a parameter: it is undone then. */
const refusals: ReadonlySet<string> = new Set([
  sqlState.limitExceeded,
  sqlState.cannotChange,
  sqlState.invalidParameter,
]);

/** Asks the writer's agent when something is durable. */
export class AgentDurability implements AwaitDurable {
  private readonly lines: AgentLines;

  constructor(lines: AgentLines) {
    this.lines = lines;
  }

  untilFlushed(id: InstanceId): Promise<void> {
    return this.ask(id, "flushed");
  }

  untilInserted(id: InstanceId): Promise<void> {
    return this.ask(id, "inserted");
  }

  async untilParametersKept({ instanceId: id, incarnation }: Target) {
    const life = incarnation.slice(id.length + 1);
    try {
      await (await this.lines.to(id)).call("keepParameters", { life });
      return undefined;
    } catch (cause) {
      if (cause instanceof BorealisError && refusals.has(cause.code)) return cause;
      throw new OutcomeUnknown("the instance went away while the cluster took what was set there", {
        cause,
      });
    }
  }

  private async ask(id: InstanceId, what: "flushed" | "inserted"): Promise<void> {
    try {
      const line = await this.lines.to(id);
      await line.call("untilDurable", { what });
    } catch (cause) {
      if (cause instanceof BorealisError && cause.code === sqlState.outcomeUnknown) throw cause;
      throw new OutcomeUnknown(
        "the writer went away while a commit waited for the storage quorum",
        { cause },
      );
    }
  }
}
