/** Strikes a running cluster with the faults of a schedule, and makes good what does not pass by itself. */
import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import type { Fault, FaultKind } from "./chaos-schedule.ts";
import { childrenOf, commandLine, type TestCluster } from "./cluster.ts";
import { signalAll } from "./signals.ts";
import { count } from "./history.ts";
import { layoutFor } from "./volume-log.ts";

const zones = [1, 2, 3];
const nodeIds = zones.flatMap((zone) => [`az${zone}-full`, `az${zone}-tail`]);

export class Chaos {
  /** What was done, with its moment (performance.now()). */
  readonly story: string[] = [];
  readonly struck = new Map<FaultKind, number>();
  private readonly cluster: TestCluster;
  private readonly frozen = new Set<number>();
  private readonly stopped = new Set<string>();
  private readonly underWay = new Set<Promise<void>>();

  constructor(cluster: TestCluster) {
    this.cluster = cluster;
  }

  /** Strikes at the schedule's moments; resolves after the last, while some may still last. */
  async run(schedule: readonly Fault[]): Promise<void> {
    const startMs = performance.now();
    for (const fault of schedule) {
      await delay(Math.max(0, startMs + fault.atMs - performance.now()));
      const struck = this.strike(fault);
      this.story.push(
        `${Math.round(performance.now())} ${fault.kind}: ${struck ?? "nobody is there"}`,
      );
      if (struck !== undefined) count(this.struck, fault.kind);
    }
  }

  /** Thaws and starts everything again, and waits for commands that are under way. */
  async heal(): Promise<void> {
    this.thaw([...this.frozen]);
    await Promise.all(this.underWay);
    if (this.stopped.size > 0 && (await this.command("storage", "start", ...this.stopped)))
      this.stopped.clear();
    this.story.push(`${Math.round(performance.now())} healed`);
  }

  /** Without a question: for a test that ends badly. */
  thawAll(): void {
    this.thaw([...this.frozen]);
  }

  /** Gives whom it struck; undefined: nobody of that kind is there at this moment. */
  private strike(fault: Fault): string | undefined {
    const { writer, readers } = this.roles();
    const reader = pick(readers, fault.who) ?? "";
    switch (fault.kind) {
      case "kill the writer":
        return this.kill(writer, this.postmasterOf(writer));
      case "kill a process of the writer":
        return this.kill(writer, pick(this.processesOf(writer).slice(1), fault.who));
      case "kill a reader":
        return this.kill(reader, this.postmasterOf(reader));
      case "freeze the writer":
        return this.freeze(writer, [this.agentOf(writer), ...this.processesOf(writer)], fault);
      case "freeze the writer's agent":
        return this.freeze(writer, [this.agentOf(writer)], fault);
      case "freeze a reader":
        return this.freeze(reader, this.processesOf(reader), fault);
      case "reboot the writer":
        return this.begin("instance", "reboot", writer);
      case "reboot a reader":
        return this.begin("instance", "reboot", reader);
      case "fail over":
        return this.begin("failover");
      case "fail over to a reader":
        return this.begin("failover", "--target", reader);
      case "kill the writer's agent":
        return this.kill(writer, this.agentOf(writer));
      case "kill a reader's agent":
        return this.kill(reader, this.agentOf(reader));
      case "kill the control plane":
        return this.kill("", this.processNamed("control-plane"));
      case "freeze the control plane":
        return this.freeze("", [this.processNamed("control-plane")], fault);
      case "kill a storage node": {
        const id = pick(nodeIds, fault.who) ?? "";
        return this.kill(id, this.processNamed(id));
      }
      case "freeze a storage node": {
        const id = pick(nodeIds, fault.who) ?? "";
        return this.freeze(id, [this.processNamed(id)], fault);
      }
      case "stop storage nodes":
        return this.stopNodes(fault);
      case "kill the writer and the control plane": {
        const control = this.processNamed("control-plane");
        return this.kill(writer, this.postmasterOf(writer), control);
      }
      case "kill the writer and a reader":
        return this.kill(
          `${writer} and ${reader}`,
          this.postmasterOf(writer),
          this.postmasterOf(reader),
        );
    }
  }

  private kill(whom: string, ...pids: readonly (number | undefined)[]): string | undefined {
    const there = pids.filter((pid) => pid !== undefined);
    signalAll(there, "SIGKILL");
    return there.length === 0 ? undefined : `${whom} (${there.join(", ")})`;
  }

  private freeze(
    whom: string,
    pids: readonly (number | undefined)[],
    { forMs }: Fault,
  ): string | undefined {
    const there = pids.filter((pid) => pid !== undefined);
    if (there.length === 0) return undefined;
    signalAll(there, "SIGSTOP");
    for (const pid of there) this.frozen.add(pid);
    void delay(forMs, undefined, { ref: false }).then(() => this.thaw(there));
    return `${whom} (${there.length} processes) for ${forMs} ms`;
  }

  private thaw(pids: readonly number[]): void {
    signalAll(pids, "SIGCONT");
    for (const pid of pids) this.frozen.delete(pid);
  }

  /** One node, or the two of a zone; never more than two at once, or nobody could write for as long. */
  private stopNodes({ who, forMs }: Fault): string | undefined {
    if (this.stopped.size > 0) return undefined;
    const zone = pick(zones, who) ?? 1;
    const ids =
      who * 100 - Math.floor(who * 100) < 0.5
        ? [`az${zone}-full`]
        : [`az${zone}-full`, `az${zone}-tail`];
    for (const id of ids) this.stopped.add(id);
    this.later(async () => {
      await this.command("storage", "stop", ...ids);
      await delay(forMs);
      // A control plane that is being killed may answer nothing; what fails here is tried again by `heal`.
      if (await this.command("storage", "start", ...ids)) this.stopped.clear();
    });
    return `${ids.join(", ")} for ${forMs} ms`;
  }

  /** A command of an operator's, which goes on while other things happen. */
  private begin(...args: string[]): string {
    this.later(async () => void (await this.command(...args)));
    return args.at(-1) ?? "";
  }

  private later(run: () => Promise<void>): void {
    const running = run().finally(() => this.underWay.delete(running));
    this.underWay.add(running);
  }

  /** Whether it succeeded. */
  private async command(...args: string[]): Promise<boolean> {
    const { code, stderr } = await this.cluster.cli(...args);
    const said = code === 0 ? "" : ` ${stderr.trim().split("\n")[0]}`;
    this.story.push(
      `${Math.round(performance.now())} borealis ${args.join(" ")} ended with ${code}${said}`,
    );
    return code === 0;
  }

  /** By what is written down: a control plane that is dead answers nothing. */
  private roles(): { writer: string; readers: string[] } {
    const { stateFile } = layoutFor(this.cluster.dataDir);
    const { writer, instances } = JSON.parse(readFileSync(stateFile, "utf8")) as {
      writer: string;
      instances: { id: string }[];
    };
    return { writer, readers: instances.map(({ id }) => id).filter((id) => id !== writer) };
  }

  private processNamed(name: string): number | undefined {
    return childrenOf(this.cluster.supervisorPid).find((pid) => commandLine(pid).includes(name));
  }

  private agentOf(instance: string): number | undefined {
    return this.processNamed(instance);
  }

  private postmasterOf(instance: string): number | undefined {
    return this.processesOf(instance)[0];
  }

  /** PostgreSQL's: the postmaster, then its children. */
  private processesOf(instance: string): number[] {
    const agent = this.agentOf(instance);
    if (agent === undefined) return [];
    const postmaster = childrenOf(agent).find((pid) => /postgres.* -D /.test(commandLine(pid)));
    return postmaster === undefined ? [] : [postmaster, ...childrenOf(postmaster)];
  }
}

function pick<T>(from: readonly T[], who: number): T | undefined {
  return from[Math.floor(who * from.length)];
}
