import { openLogger, realClock } from "../io/index.ts";
import { Keeper, keeperConfigSchema } from "../keeper/index.ts";
import { parseDataKeys } from "../keys/index.ts";
import { dieLoudly, startChild, untilStopped } from "./child.ts";

const { config: raw, stop, serve } = await startChild("borealis keeper");
const config = keeperConfigSchema.parse(raw);
const logger = openLogger({
  file: config.logFile,
  process: "keeper",
  level: config.logLevel,
  maxBytes: config.logMaxBytes,
});
dieLoudly(logger);
const keeper = new Keeper(config, { clock: realClock, logger });
await keeper.start();
serve({ setKeys: (params) => keeper.takeKeys(parseDataKeys(params)) });
logger.info({ event: "keeper.started" });
await untilStopped(stop);
await keeper.close();
process.exit(0);
