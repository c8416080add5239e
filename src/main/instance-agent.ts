import { agentConfigSchema, InstanceAgent } from "../instance/index.ts";
import { openLogger, realClock, realRng } from "../io/index.ts";
import { parseDataKeys } from "../keys/index.ts";
import { dieLoudly, startChild, untilStopped } from "./child.ts";

const { config: raw, stop, serve } = await startChild(`borealis instance ${process.argv[2] ?? ""}`);
const config = agentConfigSchema.parse(raw);
const logger = openLogger({
  file: config.logFile,
  process: config.instance,
  level: config.logLevel,
  maxBytes: config.logMaxBytes,
});
dieLoudly(logger);
const agent = new InstanceAgent(config, {
  clock: realClock,
  rng: realRng,
  logger,
  pid: process.pid,
  die: () => process.kill(process.pid, "SIGKILL"),
});
serve({ setKeys: (params) => agent.takeKeys(parseDataKeys(params)) });
await agent.start();
logger.info({ event: "agent.started" });
const reason = await untilStopped(stop);
logger.info({ event: "agent.stopping", reason });
await agent.close(reason === "stop" ? "clean" : "immediate");
process.exit(0);
