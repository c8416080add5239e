import { prepareSocketDirs } from "../engine/index.ts";
import { LogFeed, type LogFeedOptions } from "../log-driver/index.ts";
import type { AgentDeps } from "./agent-deps-shell.ts";
import type { AgentConfig } from "./messages.ts";
import { linkOwner, nodesNearestFirst } from "./nodes.ts";
import { feedDirOf } from "./postgres-shell.ts";

/** The feed that this instance's walreceiver dials: for a reader, and for a standby on its way to be the writer. */
export async function startFeed(
  config: AgentConfig,
  deps: AgentDeps,
  callbacks: Pick<LogFeedOptions, "onFeedback" | "onPathChanged" | "path"> = {},
): Promise<LogFeed> {
  const feedDir = feedDirOf(config);
  const { socketDir, osUser } = config;
  await prepareSocketDirs({ socketDir, feedDir }, osUser ?? undefined);
  return LogFeed.start({
    get nodes() {
      return nodesNearestFirst(config);
    },
    owner: linkOwner(config),
    clock: deps.clock,
    rng: deps.rng,
    logger: deps.logger,
    socketPath: `${feedDir}/.s.PGSQL.5432`,
    systemId: config.systemIdentifier,
    serverVersion: config.engine.version,
    hold: deps.hold,
    ...callbacks,
  });
}
