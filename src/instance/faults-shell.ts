import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import { dataDirOf, namesOwned, readOwned, removeOwned } from "../engine/index.ts";
import { connectRpc, type RpcClient, type RpcHandler, sleep, systemCodeOf } from "../io/index.ts";
import type { Holding, LogHold } from "../log-driver/index.ts";
import type { AgentDeps } from "./agent-deps-shell.ts";
import {
  type Crash,
  type Fault,
  type FaultOrder,
  faultSchema,
  holdLogSchema,
  type Injected,
  injectedSchema,
  type RequestAnswer,
  type SurfaceRequest,
} from "./fault-messages.ts";
import type { AgentConfig } from "./messages.ts";
import type { ReaderRole } from "./reader-shell.ts";
import { isRequestName, readRequest, requestBytesMax, requestPrefix } from "./requests.ts";
import { sightOwner } from "./sight.ts";
import type { SightFile } from "./sight-file-shell.ts";
import type { WriterRole } from "./writer-shell.ts";

const lookEveryMs = 200;
/** A function writes its file in one go; what is not whole by then never will be. */
const partialMs = 2_000;
/** In one look; others wait for the next. */
const requestsMax = 8;
const connectMs = 1_000;
const injectMs = 8_000;
/** A crash does not wait for who writes it down. */
const noteMs = 500;

/** What an agent has, as far as it can be crashed. */
export type Crashable =
  | { readonly kind: "none" }
  | { readonly kind: "reader"; readonly role: Pick<ReaderRole, "postgres"> }
  | { readonly kind: "writer"; readonly role: Pick<WriterRole, "postgres" | "driver"> };

export interface InstanceFaultsOptions {
  readonly config: AgentConfig;
  readonly deps: Pick<AgentDeps, "clock" | "logger" | "die">;
  readonly hold: LogHold;
  /** Undefined: SQL has no functions that could ask. */
  readonly sight: SightFile | undefined;
  readonly situation: () => Crashable;
  /** The status shows something else. */
  readonly onNews: () => void;
}

/** Takes what aurora_inject_… asks for: crashes of this instance it carries out, all else it hands to the control plane. */
export class InstanceFaults {
  private readonly options: InstanceFaultsOptions;
  /** Since when a file is not whole, by name. */
  private readonly partial = new Map<string, number>();

  constructor(options: InstanceFaultsOptions) {
    this.options = options;
  }

  readonly handlers: Readonly<Record<string, RpcHandler>> = {
    holdLog: (params) => this.holdLog(holdLogSchema.parse(params)),
  };

  async run(signal: AbortSignal): Promise<void> {
    const { sight, deps } = this.options;
    while (sight && !signal.aborted) {
      this.tick();
      try {
        await this.look(sight);
      } catch (error) {
        // No cache, or one that is being built.
        if (systemCodeOf(error) !== "ENOENT")
          deps.logger.debug({ event: "requests.notSeen" }, messageOf(error));
      }
      await sleep(deps.clock, lookEveryMs, signal);
    }
  }

  private tick(): void {
    const { hold, deps, config } = this.options;
    if (hold.takeEnded(deps.clock.nowMs()))
      deps.logger.info({ event: "fault.ended", instance: config.instance }, "no log is kept back");
  }

  private async look(sight: SightFile): Promise<void> {
    if (this.options.situation().kind === "none") return;
    const dir = dataDirOf(this.options.config.instanceDir);
    const names = (await namesOwned(dir, requestPrefix)).filter(isRequestName);
    for (const name of this.partial.keys()) if (!names.includes(name)) this.partial.delete(name);
    for (const name of names.slice(0, requestsMax)) await this.take(sight, dir, name);
  }

  private async take(sight: SightFile, dir: string, name: string): Promise<void> {
    const { config, deps } = this.options;
    const path = `${dir}/${name}`;
    // What cannot be read is no file of a function of ours.
    const text = await readOwned(path, requestBytesMax).catch((error: unknown) => error);
    const now = { of: sightOwner(config), nowMs: deps.clock.wallMs() };
    const read =
      typeof text === "string"
        ? readRequest(text, now)
        : ({ kind: "stray", why: messageOf(text) } as const);
    if (read.kind === "partial" && !this.isPartialTooLong(name)) return;
    // Before anything is done: at most once.
    await removeOwned(path);
    this.partial.delete(name);
    if (read.kind !== "request") {
      const why = read.kind === "stray" ? read.why : "it is not whole";
      deps.logger.warn({ event: "request.dropped", name }, why);
      return;
    }
    const answer = await this.answer(read.request);
    if (answer) sight.answer(answer);
  }

  private isPartialTooLong(name: string): boolean {
    const nowMs = this.options.deps.clock.nowMs();
    const sinceMs = this.partial.get(name) ?? nowMs;
    this.partial.set(name, sinceMs);
    return nowMs - sinceMs > partialMs;
  }

  /** Undefined: whoever asked is gone. */
  private async answer({
    id,
    user,
    fault: raw,
  }: SurfaceRequest): Promise<RequestAnswer | undefined> {
    try {
      const parsed = faultSchema.safeParse(raw);
      if (!parsed.success)
        throw new BorealisError(sqlState.invalidParameter, "this fault cannot be injected", {
          hint: parsed.error.issues.map(({ message }) => message).join("; "),
        });
      const { data: fault } = parsed;
      const order = { fault, user, instance: this.options.config.instance };
      if (fault.kind === "crash") {
        await this.crash(fault.what, order);
        return undefined;
      }
      return { id, done: doneText(fault, await this.pass(order)), error: null };
    } catch (error) {
      return { id, done: null, error: errorFacts(error) };
    }
  }

  private async crash(what: Crash, order: FaultOrder): Promise<void> {
    const { deps, situation, config } = this.options;
    requireCrashable(what, situation(), config.instance);
    const { user, instance } = order;
    const text = `injected fault: crash of the ${what}`;
    deps.logger.warn({ event: "fault.injected", kind: "crash", what, user, instance }, text);
    await Promise.race([
      this.pass(order).catch((error: unknown) => {
        deps.logger.debug({ event: "fault.notNoted" }, messageOf(error));
      }),
      sleep(deps.clock, noteMs),
    ]);
    crash(what, situation(), deps.die);
  }

  /** The control plane knows whom it is about. Raises what it says, and 55000 if it does not answer. */
  private async pass(order: FaultOrder): Promise<Injected> {
    const path = this.options.config.controlSocket;
    let client: RpcClient | undefined;
    try {
      client = await connectRpc({ kind: "unix", path }, { timeoutMs: connectMs });
      return injectedSchema.parse(await client.call("injectFault", order, { timeoutMs: injectMs }));
    } catch (error) {
      if (!(error instanceof BorealisError) || error.code !== sqlState.connectionFailure)
        throw error;
      // Under its own code drivers would take the session for lost.
      throw new BorealisError(
        sqlState.notInPrerequisiteState,
        "the control plane does not answer",
        { hint: "borealis events tells whether it was done; if not, ask again.", cause: error },
      );
    } finally {
      client?.close();
    }
  }

  private holdLog(order: { readonly percent: number; readonly seconds: number }): Holding {
    const { deps, hold, situation, config, onNews } = this.options;
    const { instance } = config;
    if (situation().kind !== "reader")
      throw new BorealisError(sqlState.notInPrerequisiteState, `${instance} is no reader now`);
    const { percent, seconds } = order;
    const { clock, logger } = deps;
    const now = { nowMs: clock.nowMs(), wallMs: clock.wallMs() };
    const holding = hold.begin({ percent, durationMs: seconds * 1000 }, now);
    const until = new Date(holding.untilMs).toISOString();
    logger.warn(
      { event: "fault.injected", kind: "replicaFailure", instance, percent, until },
      `injected fault: log is kept back until ${until}`,
    );
    // Before the answer: who asked sees it in the status.
    onNews();
    return holding;
  }
}

function requireCrashable(what: Crash, situation: Crashable, instance: string): void {
  if (situation.kind === "none")
    throw new BorealisError(sqlState.notInPrerequisiteState, `${instance} is on its way to a role`);
  if (situation.kind === "reader" && what === "dispatcher")
    throw new BorealisError(
      sqlState.notInPrerequisiteState,
      `${instance} is a reader, and has no dispatcher: the log driver is the writer's`,
      { hint: "Call it at the writer endpoint." },
    );
}

/** The log driver first: it would else notice that its PostgreSQL is gone. A node is all of an instance, and so its agent. */
function crash(what: Crash, situation: Crashable, die: () => void): void {
  if (situation.kind === "none") return;
  if (situation.kind === "writer" && what !== "instance")
    situation.role.driver.crash("ended by aurora_inject_crash");
  if (what !== "dispatcher") situation.role.postgres.crash();
  if (what === "node") die();
}

function doneText(fault: Fault, { on, untilMs }: Injected): string {
  const until = untilMs === null ? "" : ` until ${new Date(untilMs).toISOString()}`;
  return `injected into ${on.join(", ")}${until}`;
}

const codePattern = /^[0-9A-Z]{5}$/;

function errorFacts(error: unknown): NonNullable<RequestAnswer["error"]> {
  const known = error instanceof BorealisError && codePattern.test(error.code) ? error : undefined;
  return {
    code: known?.code ?? sqlState.internal,
    message: messageOf(error),
    hint: known?.hint ?? null,
  };
}
