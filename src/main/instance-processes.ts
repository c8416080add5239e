import { rm } from "node:fs/promises";
import { messageOf } from "../base/errors.ts";
import type { ClusterState, InstanceState } from "../cluster/index.ts";
import { dataDirOf, killProcesses, type OsUser, unstampCache } from "../engine/index.ts";
import type { Logger } from "../io/index.ts";
import type { ManagedProcess } from "./managed-process.ts";

export interface InstanceProcessesOptions {
  readonly logger: Logger;
  /** As control/state.json says now. */
  readonly state: () => ClusterState;
  readonly process: (instance: InstanceState) => ManagedProcess;
  /** Where an instance's cache lies. */
  readonly instanceDir: (id: string) => string;
  readonly osUser: OsUser | undefined;
}

/** Nothing of a reader that is removed is of use to anybody: it gets little time to end by itself. */
const stopMs = 2_000;

/** The agents of the instances, as control/state.json says; and the end of those that were removed. */
export class InstanceProcesses {
  private readonly options: InstanceProcessesOptions;
  private readonly running = new Map<string, ManagedProcess>();
  /** Those that are being ended, and their cache wiped. */
  private readonly ending = new Map<string, Promise<void>>();
  /** Ended since they were last to run. */
  private readonly gone = new Set<string>();

  constructor(options: InstanceProcessesOptions) {
    this.options = options;
    for (const instance of options.state().instances) this.add(instance);
  }

  get all(): ManagedProcess[] {
    return [...this.running.values()];
  }

  find(id: string): ManagedProcess | undefined {
    return this.running.get(id);
  }

  /** Starts who is new, ends and wipes who has left; which of those are not gone yet. May be repeated. */
  followState(): string[] {
    const { instances, leaving = [] } = this.options.state();
    const wanted = new Set(instances.map((one) => one.id));
    const unwanted = [...this.running.keys(), ...leaving.map((one) => one.id)];
    for (const id of unwanted) if (!wanted.has(id) && !this.gone.has(id)) this.end(id);
    for (const instance of instances) {
      // One whose former self is ending is started when that is over: the control plane asks again.
      if (!this.running.has(instance.id) && !this.ending.has(instance.id))
        this.add(instance).start();
    }
    return leaving.map((one) => one.id).filter((id) => !this.gone.has(id));
  }

  private add(instance: InstanceState): ManagedProcess {
    const process = this.options.process(instance);
    this.gone.delete(instance.id);
    this.running.set(instance.id, process);
    return process;
  }

  private end(id: string): void {
    if (this.ending.has(id)) return;
    const { logger } = this.options;
    const ending = this.wipe(id)
      .then(() => {
        this.gone.add(id);
        logger.info({ event: "cache.wiped", instance: id });
      })
      .catch((error: unknown) => {
        logger.warn({ event: "cache.notWiped", instance: id }, messageOf(error));
      })
      .finally(() => {
        this.ending.delete(id);
      });
    this.ending.set(id, ending);
  }

  private async wipe(id: string): Promise<void> {
    const { instanceDir, osUser } = this.options;
    await this.running.get(id)?.stop(stopMs);
    this.running.delete(id);
    const dir = instanceDir(id);
    // An agent that had to be killed has left its PostgreSQL behind, for a moment.
    await killProcesses(dataDirOf(dir), osUser);
    // Durable before the name is free: power may bring back what was deleted, but nobody believes it then.
    await unstampCache(dir);
    await rm(dir, { recursive: true, force: true });
  }
}
