import { BorealisError, messageOf, OutcomeUnknown, sqlState } from "../base/errors.ts";
import { notAnybodys, ownedReason } from "../base/owned-settings.ts";
import type { Postgres } from "../engine/index.ts";
import { type Clock, connectRpc, type Logger, type RpcHandler, sleep } from "../io/index.ts";
import type { PgClient } from "../wire/index.ts";
import type { AgentConfig } from "./messages.ts";
import {
  keepParametersSchema,
  type ParameterChange,
  parameterChangeSchema,
  parameterNamesSchema,
  type ParameterStates,
  type ParameterValues,
  parameterValuesSchema,
} from "./parameter-messages.ts";
import { readAutoConf, readGood, writeGood } from "./parameter-files-shell.ts";
import { alterSystemSql, attemptsWith, changesBetween, statesSql } from "./parameters.ts";
import { connectAgent } from "./postgres-shell.ts";

type Values = ReadonlyMap<string, string>;
type Server = Pick<Postgres, "pid" | "address" | "rewriteParameters">;

const lookEveryMs = 1_000;
const connectMs = 1_000;
/** Longer than the control plane waits for an instance that does not answer. */
const answerMs = 30_000;
const retryMs = 200;
/** Statements that need nobody; whoever cannot run them in this time is gone. */
const statementsMs = 5_000;
/** A postmaster that lives has read its files by then. */
const reloadMs = 2_000;
const reloadLookMs = 10;

/** What whoever starts PostgreSQL needs of it. */
export interface StartParameters {
  /** What is written at the next start. */
  readonly atStart: Values;
  /** What to start with: the first is what was chosen, the others are for one that does not start with it. */
  attempts(): Promise<readonly Values[]>;
  /** It has started with them before. */
  haveStarted(values: Values): Promise<boolean>;
  /** PostgreSQL is about to be started with them. */
  starting(values: Values): void;
  /** It has started, and takes sessions. `failure`: why not with what was chosen. */
  serving(server: Server, failure: unknown): Promise<void>;
}

export interface InstanceParametersOptions {
  readonly config: Pick<AgentConfig, "instance" | "instanceDir" | "controlSocket" | "osUser">;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly situation: () =>
    | { readonly kind: "none" }
    | { readonly kind: "reader" | "writer"; readonly role: { readonly postgres: Server } };
  /** As the topology names it behind the instance's name. */
  readonly life: () => string;
  readonly closing: AbortSignal;
}

/**
 * What users have set for this instance. The control plane keeps it and tells of each change; PostgreSQL has it in
 * postgresql.auto.conf. While that runs only PostgreSQL writes there, so that nobody's ALTER SYSTEM is overwritten unseen:
 * what it has there and nobody told, a user has set, and the control plane is to keep.
 */
export class InstanceParameters implements StartParameters {
  private readonly options: InstanceParametersOptions;
  private told: ParameterValues = { version: 0, values: {} };
  /** What the file has, as far as it was told. */
  private written = new Map<string, string>();
  /** What the file had besides at the last look, for a moment at least. */
  private seen = "";
  /** The process whose file `written` is about. */
  private servingPid: number | undefined;
  /** The file has what PostgreSQL was not told to read. */
  private isUnread = false;
  private changing: Promise<unknown> = Promise.resolve();
  atStart: Values = new Map();

  constructor(options: InstanceParametersOptions) {
    this.options = options;
  }

  readonly handlers: Readonly<Record<string, RpcHandler>> = {
    setParameters: (params) => this.take(parameterValuesSchema.parse(params)),
    keepParameters: (params) => this.keepOf(keepParametersSchema.parse(params).life),
    tryParameter: (params) => this.try(parameterChangeSchema.parse(params)),
    parameterStates: (params) => this.states(parameterNamesSchema.parse(params).names),
  };

  /** What a statement has set that no endpoint has understood is kept, too. */
  async run(): Promise<void> {
    const { clock, logger, closing } = this.options;
    while (!closing.aborted) {
      await sleep(clock, lookEveryMs, closing);
      if (!this.server) continue;
      await this.lookAgain().catch((error: unknown) => {
        logger.debug({ event: "parameters.notSeen" }, messageOf(error));
      });
    }
  }

  private async lookAgain(): Promise<void> {
    await this.keepSeen();
    const { server } = this;
    if (server && this.isUnread) await this.inTurn(() => this.apply(server));
  }

  async attempts(): Promise<readonly Values[]> {
    return attemptsWith(
      new Map(Object.entries(this.told.values)),
      await readGood(this.options.config),
    );
  }

  async haveStarted(values: Values): Promise<boolean> {
    const good = await readGood(this.options.config);
    return good !== undefined && changesBetween(good, values).length === 0;
  }

  starting(values: Values): void {
    this.servingPid = undefined;
    this.atStart = values;
    this.written = new Map(values);
    this.isUnread = false;
  }

  async serving(server: Server, failure: unknown): Promise<void> {
    const { logger, config } = this.options;
    await writeGood(config, this.atStart).catch((error: unknown) => {
      logger.warn({ event: "parameters.notRemembered" }, messageOf(error));
    });
    this.servingPid = server.pid;
    if (failure !== undefined) void this.tellNotTaken(messageOf(failure));
    // What needs no start may be good all the same, and what was told meanwhile.
    await this.inTurn(() => this.apply(server));
  }

  private async take(values: ParameterValues): Promise<void> {
    if (values.version < this.told.version) return;
    this.told = values;
    const { server } = this;
    if (server) await this.inTurn(() => this.apply(server));
  }

  /** For a session of that life; raises 08007 when that is over: its file is no more. */
  private async keepOf(life: string): Promise<void> {
    if (life !== this.options.life()) throw overBefore(this.options.config.instance);
    await this.keep();
  }

  /** The endpoint that has seen a statement is to hear what becomes of it: what is new here only now is its to tell. */
  private async keepSeen(): Promise<void> {
    const changes = await this.inTurn(() => this.unknownChanges(this.servingPid));
    const text = JSON.stringify(changes);
    const isKnown = text === this.seen;
    this.seen = text;
    if (isKnown && changes.length > 0) await this.keep();
  }

  /**
   * Resolves when the control plane has what users have set here, and this and all instances that answer have it in force.
   * Raises why not; then it is undone. 08007: this PostgreSQL has ended first.
   */
  private async keep(): Promise<void> {
    const server = this.requireServer();
    const { pid } = server;
    const changes = await this.inTurn(() => this.unknownChanges(pid));
    if (changes.length === 0) return;
    this.isUnread = true;
    try {
      const answer = await this.askToKeep(changes);
      if (answer.version >= this.told.version) this.told = answer;
    } finally {
      // What the cluster does not take this instance has not, either.
      if (!this.options.closing.aborted)
        await this.inTurn(async () => {
          const file = await readAutoConf(this.options.config);
          // The next one's file is written anew.
          if (pid !== this.servingPid) return undefined;
          // What has been told meanwhile, and written over it, stays.
          for (const change of changes)
            if (file.get(change.name) !== this.written.get(change.name)) this.note(change);
          return this.apply(server);
        });
    }
    const owned = changes.find(({ name, value }) => value !== null && ownedReason(name));
    if (owned) throw notAnybodys(owned.name);
  }

  /** Raises what the control plane says. */
  private async askToKeep(all: readonly ParameterChange[]): Promise<ParameterValues> {
    const { instance } = this.options.config;
    const changes = all.filter(({ name, value }) => value === null || !ownedReason(name));
    if (changes.length === 0) return this.told;
    return parameterValuesSchema.parse(await this.ask("adoptParameters", { instance, changes }));
  }

  /** PostgreSQL itself judges it, here; whoever asks has it told to all, this one too. Raises what PostgreSQL says. */
  private try(change: ParameterChange): Promise<{ value: string }> {
    return this.inTurn(async () => {
      const server = this.requireServer();
      const { pid } = server;
      const client = await connectAgent(server);
      try {
        await client.query(alterSystemSql(change));
      } finally {
        client.destroy();
        // Also of one that was cut off: whatever came of it, no user has set it here.
        const value = (await readAutoConf(this.options.config)).get(change.name) ?? null;
        if (pid === this.servingPid) {
          this.isUnread = true;
          this.note({ ...change, value });
        }
      }
      return { value: this.written.get(change.name) ?? "" };
    });
  }

  private async states(names: readonly string[]): Promise<ParameterStates> {
    if (names.length === 0) return [];
    const client = await connectAgent(this.requireServer());
    try {
      const { rows } = await client.query(statesSql(names));
      const found = new Map(rows.map(([name, ...facts]) => [name, facts]));
      return names.map((name) => {
        const [context = null, isPending, isWrong] = found.get(name) ?? [];
        // Until PostgreSQL has read it, nobody knows; of what it did not take it has another value.
        const isTaken = !this.isUnread && (isWrong !== "t" || isPending === "t");
        const value = isTaken ? (this.written.get(name) ?? null) : null;
        return { name, value, context, isPending: isPending === "t" };
      });
    } finally {
      client.destroy();
    }
  }

  /** Undefined: it does not run, or not yet. */
  private get server(): Server | undefined {
    const situation = this.options.situation();
    const server = situation.kind === "none" ? undefined : situation.role.postgres;
    return server?.pid !== undefined && server.pid === this.servingPid ? server : undefined;
  }

  private requireServer(): Server {
    const { server } = this;
    if (server) return server;
    const why = `PostgreSQL of ${this.options.config.instance} takes no sessions at the moment`;
    throw new BorealisError(sqlState.cannotConnectNow, why);
  }

  private async unknownChanges(pid: number | undefined): Promise<ParameterChange[]> {
    const values = await readAutoConf(this.options.config);
    // It has ended since, and what was in its file with it.
    if (pid === undefined || pid !== this.servingPid)
      throw overBefore(this.options.config.instance);
    return changesBetween(this.written, values);
  }

  private note({ name, value }: ParameterChange): void {
    if (value === null) this.written.delete(name);
    else this.written.set(name, value);
  }

  /** The file has what was told, and PostgreSQL has read it. */
  private async apply(server: Server): Promise<void> {
    if (server.pid !== this.servingPid) return;
    const wanted = new Map(Object.entries(this.told.values));
    const changes = changesBetween(this.written, wanted);
    if (changes.length === 0 && !this.isUnread) return;
    const { logger, config, closing } = this.options;
    const names = changes.map(({ name }) => name);
    logger.info({ event: "parameters.applied", instance: config.instance, names });
    const limit = AbortSignal.any([closing, AbortSignal.timeout(statementsMs)]);
    try {
      await this.applyBySql(server, changes, limit);
    } catch (error) {
      logger.warn({ event: "parameters.notBySql" }, withoutValue(messageOf(error)));
      if (server.pid !== this.servingPid) return;
      // Nobody gets in, perhaps because of what was set: then nobody writes there, either.
      this.atStart = wanted;
      this.written = wanted;
      this.isUnread = false;
      await server.rewriteParameters();
    }
  }

  private async applyBySql(
    server: Server,
    changes: readonly ParameterChange[],
    limit: AbortSignal,
  ): Promise<void> {
    const client = await connectAgent(server);
    const onLimit = (): void => client.destroy();
    limit.addEventListener("abort", onLimit, { once: true });
    try {
      const before = await loadTime(client);
      for (const change of changes) {
        await client.query(alterSystemSql(change));
        this.isUnread = true;
        this.note(change);
      }
      await client.query("SELECT pg_catalog.pg_reload_conf()");
      const untilMs = this.options.clock.nowMs() + reloadMs;
      while ((await loadTime(client)) === before && this.options.clock.nowMs() < untilMs)
        await sleep(this.options.clock, reloadLookMs, limit);
      // A postmaster that has no time to read it is asked again at the next look.
      this.isUnread = (await loadTime(client)) === before;
    } finally {
      limit.removeEventListener("abort", onLimit);
      client.destroy();
    }
  }

  private async tellNotTaken(failure: string): Promise<void> {
    const why = withoutValue(failure);
    const { logger, config } = this.options;
    logger.error({ event: "parameters.notTaken", instance: config.instance }, why);
    const told = { instance: config.instance, why: why.slice(0, 500) };
    await this.ask("parametersNotTaken", told).catch(() => undefined);
  }

  /** As often as it takes: it may just be started again. */
  private async ask(method: string, params: unknown): Promise<unknown> {
    const { clock, config, closing } = this.options;
    for (;;) {
      try {
        const address = { kind: "unix", path: config.controlSocket } as const;
        const client = await connectRpc(address, { timeoutMs: connectMs });
        try {
          return await client.call(method, params, { timeoutMs: answerMs });
        } finally {
          client.close();
        }
      } catch (error) {
        const isGone = error instanceof BorealisError && error.code === sqlState.connectionFailure;
        if (!isGone || closing.aborted) throw error;
        await sleep(clock, retryMs, closing);
      }
    }
  }

  private inTurn<T>(change: () => T | Promise<T>): Promise<T> {
    const next = this.changing.catch(() => undefined).then(change);
    this.changing = next;
    return next;
  }
}

async function loadTime(client: PgClient): Promise<string> {
  return (await client.query("SELECT pg_catalog.pg_conf_load_time()")).rows[0]?.[0] ?? "";
}

function overBefore(instance: string): OutcomeUnknown {
  return new OutcomeUnknown(
    `PostgreSQL of ${instance} ended before the cluster had what was set there`,
    {
      hint: "look whether it is set before you set it again",
    },
  );
}

/** PostgreSQL quotes a value that it refuses, and that may be a secret. */
function withoutValue(message: string): string {
  return message.replace(/(for parameter "[^"]*": )"[\s\S]*/, '$1"…"');
}
