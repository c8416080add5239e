import { dataDirOf, Postgres } from "../engine/index.ts";
import type { Logger } from "../io/index.ts";
import type { AgentConfig } from "./messages.ts";

/** Where this agent serves the log to its own PostgreSQL, should it be a reader. */
export function feedDirOf(config: AgentConfig): string {
  return `${config.socketDir}/feed`;
}

export function makePostgres(config: AgentConfig, logger: Logger): Postgres {
  return new Postgres({
    engine: config.engine,
    instance: config.instance,
    dataDir: dataDirOf(config.instanceDir),
    socketDir: config.socketDir,
    feedDir: feedDirOf(config),
    logFile: config.postgresLogFile,
    osUser: config.osUser ?? undefined,
    overrides: new Map(Object.entries(config.overrides)),
    logger,
  });
}
