import { messageOf } from "../base/errors.ts";
import {
  CpuWatch,
  dataDirOf,
  readOwned,
  removeDraftsOf,
  removeOwned,
  writeOwned,
} from "../engine/index.ts";
import { realEntropy, sleep } from "../io/index.ts";
import type { AgentDeps } from "./agent-deps-shell.ts";
import type { RequestAnswer } from "./fault-messages.ts";
import type { AgentConfig, ClusterSight, Figures, InstanceStatus, KeptSight } from "./messages.ts";
import { withAnswer } from "./requests.ts";
import { parseKept, sightOwner, sightText } from "./sight.ts";
import { sightBytesMax, sightFile } from "./surface-functions.ts";

const freshMs = 900;
const servingWaitMsMax = 100;
const cpuEveryMs = 2_000;
/** A first figure takes two looks. */
const cpuFirstMs = 400;

type Place = Pick<AgentConfig, "instance" | "volumeId" | "instanceDir" | "osUser">;
type Deps = Pick<AgentDeps, "clock" | "logger">;

/** What a Borealis left that still told; without it the functions that read it tell nothing. */
export async function removeSightFile({ instanceDir }: Pick<Place, "instanceDir">): Promise<void> {
  await removeOwned(pathIn(instanceDir)).catch(() => undefined);
}

function pathIn(instanceDir: string): string {
  return `${dataDirOf(instanceDir)}/${sightFile}`;
}

/** Keeps the file fresh that Aurora's functions read. It is written over by renaming: whoever reads it has one whole. */
export class SightFile {
  private readonly config: Place;
  private readonly deps: Deps;
  private readonly status: () => InstanceStatus;
  private readonly cpuWatch = new CpuWatch();
  private told: ClusterSight | undefined;
  private answers: readonly RequestAnswer[] = [];
  /** Of the agent's former life; read once, before it is written over. */
  private kept: Promise<KeptSight | undefined> | undefined;
  private life: number | undefined;
  private session = "";
  private cpuAtMs = Number.NEGATIVE_INFINITY;
  private cpuPercent = 0;
  /** Whom cpuPercent is of, and whom the last look was at. */
  private cpuPid: number | undefined;
  private seenPid: number | undefined;
  private writtenMs = Number.NEGATIVE_INFINITY;
  private writing: Promise<void> = Promise.resolve();
  private isAsked = false;
  private isFailing = false;

  constructor(config: Place, deps: Deps, status: () => InstanceStatus) {
    this.config = config;
    this.deps = deps;
    this.status = status;
  }

  /** A name of this life of the instance, and what its PostgreSQL takes. */
  ownFigures(
    incarnation: number,
    postgresPid: number | undefined,
  ): Pick<Figures, "sessionId" | "cpu"> {
    if (this.life !== incarnation) this.session = realEntropy.uuid();
    this.life = incarnation;
    return { sessionId: this.session, cpu: this.cpu(postgresPid) };
  }

  private cpu(postgresPid: number | undefined): number {
    const nowMs = this.deps.clock.nowMs();
    const everyMs = this.cpuPid === postgresPid ? cpuEveryMs : cpuFirstMs;
    if (nowMs - this.cpuAtMs < everyMs) return this.cpuPercent;
    this.cpuAtMs = nowMs;
    this.cpuPercent = this.cpuWatch.look(postgresPid, nowMs);
    this.cpuPid = this.seenPid === postgresPid ? postgresPid : undefined;
    this.seenPid = postgresPid;
    return this.cpuPercent;
  }

  /** The control plane tells how the cluster is. */
  take(told: ClusterSight): void {
    this.told = told;
    void this.write();
  }

  /** Somebody waits for it in SQL. */
  answer(answer: RequestAnswer): void {
    this.answers = withAnswer(this.answers, answer);
    void this.write();
  }

  /** Now and then: nothing may have been told lately. */
  keepFresh(): void {
    if (this.deps.clock.nowMs() - this.writtenMs >= freshMs) void this.write();
  }

  /** As `write`, and no longer than a failover can spare where a disk hangs. */
  async writeBeforeServing(): Promise<void> {
    const { signal } = new AbortController();
    await Promise.race([this.write(), sleep(this.deps.clock, servingWaitMsMax, signal)]);
  }

  /**
   * Resolves when the file says how things are now, if PostgreSQL runs. One that cannot be written is removed, as it would go on telling how they
   * were (a full disk lets it go), and the log has it once.
   */
  write(): Promise<void> {
    this.writtenMs = this.deps.clock.nowMs();
    if (this.isAsked) return this.writing;
    this.isAsked = true;
    this.writing = this.writing.then(() => this.writeNow());
    return this.writing;
  }

  private async writeNow(): Promise<void> {
    this.isAsked = false;
    const { config, deps } = this;
    if (this.status().role === "none") return;
    this.kept ??= this.readKept();
    const kept = await this.kept;
    const own = this.status();
    // Nobody reads it then, and what is being removed must not get new files.
    if (own.role === "none" || own.postgresPid === null) return;
    const path = pathIn(config.instanceDir);
    const of = sightOwner(config);
    const { told, answers } = this;
    const nowMs = deps.clock.wallMs();
    const text = sightText({ of, own, told, kept, answers, nowMs });
    try {
      await writeOwned(path, text, config.osUser ?? undefined);
      this.isFailing = false;
    } catch (error) {
      await removeSightFile(config);
      if (this.isFailing || this.status().postgresPid === null) return;
      this.isFailing = true;
      deps.logger.warn({ event: "sight.notWritten" }, messageOf(error));
    }
  }

  private async readKept(): Promise<KeptSight | undefined> {
    const { config } = this;
    await removeDraftsOf(pathIn(config.instanceDir)).catch(() => undefined);
    // Whatever is the matter with it: it is a memory, and the control plane tells soon.
    const text = await readOwned(pathIn(config.instanceDir), sightBytesMax).catch(() => "");
    return parseKept(text, sightOwner(config));
  }
}
