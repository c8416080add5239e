import { BorealisError, sqlState } from "../base/errors.ts";
import { bootstrapUser, dataDirOf, Postgres } from "../engine/index.ts";
import { connectPg, type PgClient } from "../wire/index.ts";
import type { AgentDeps } from "./agent-deps-shell.ts";
import type { AgentConfig } from "./messages.ts";

/** Where this agent serves the log to its own PostgreSQL, should it be a reader. */
export function feedDirOf(config: AgentConfig): string {
  return `${config.socketDir}/feed`;
}

/** Told when a PostgreSQL ends without having been asked to: at once, and when nothing of it is left. */
export interface PostgresOwner {
  onDying?(): void;
  onBroke(error: unknown): void;
}

/** The instance's PostgreSQL. */
export function makePostgres(
  config: AgentConfig,
  { logger, parameters }: Pick<AgentDeps, "logger" | "parameters">,
  owner: PostgresOwner,
): Postgres {
  const postgres = new Postgres({
    engine: config.engine,
    instance: config.instance,
    dataDir: dataDirOf(config.instanceDir),
    socketDir: config.socketDir,
    feedDir: feedDirOf(config),
    logFile: config.postgresLogFile,
    osUser: config.osUser ?? undefined,
    overrides: new Map(Object.entries(config.overrides)),
    ...(parameters ? { parameters: () => parameters.atStart } : {}),
    hasAuroraSettings: config.hasSurface,
    forcesTls: config.forcesTls,
    logger,
  });
  postgres.onDying(() => owner.onDying?.());
  postgres.onExit((exit) => {
    if (exit.isExpected) return;
    const why =
      exit.logLines.findLast((line) => /FATAL|PANIC/.test(line)) ??
      `code ${exit.code ?? exit.signal ?? ""}`;
    owner.onBroke(new BorealisError(sqlState.adminShutdown, `PostgreSQL ended: ${why}`));
  });
  return postgres;
}

/** A session of the agent's own on its PostgreSQL, as the bootstrap superuser. */
export function connectAgent(
  postgres: Pick<Postgres, "address">,
  to: { readonly database: string; readonly options?: string; readonly signal?: AbortSignal } = {
    database: "postgres",
  },
): Promise<PgClient> {
  return connectPg({
    address: postgres.address,
    user: bootstrapUser,
    applicationName: "borealis_agent",
    ...to,
  });
}
