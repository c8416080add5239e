import { InvariantBroken } from "../base/assert.ts";
import { messageOf } from "../base/errors.ts";
import { openLogger, realClock, realDisk, realEntropy } from "../io/index.ts";
import { type DataKeys, parseDataKeys } from "../keys/index.ts";
import {
  parseNewPeers,
  parseStorageNodeConfig,
  runStorageNode,
  type StorageNodeDeps,
} from "../storage-node/index.ts";
import { startChild, untilStopped } from "./child.ts";

/** Ends this process at once. A thread that waits in a blocking read would keep process.exit() from it (D4). */
function end(): never {
  process.kill(process.pid, "SIGKILL");
  // The signal is delivered before this call returns to anything that could still run.
  throw new Error("this process has been killed");
}

const { config: raw, stop, serve } = await startChild(`borealis node ${process.argv[2] ?? ""}`);
const config = parseStorageNodeConfig(raw);
const logger = openLogger({
  file: config.logFile,
  process: config.name,
  ...(config.logLevel === undefined ? {} : { level: config.logLevel }),
  ...(config.logMaxBytes === undefined ? {} : { maxBytes: config.logMaxBytes }),
});

function die(error: unknown): never {
  const event = error instanceof InvariantBroken ? "invariant.broken" : "process.crashed";
  logger.error(
    { event, stack: error instanceof Error ? error.stack : undefined },
    messageOf(error),
  );
  process.stderr.write(`${messageOf(error)}\n`);
  end();
}

process.on("uncaughtException", die);
process.on("unhandledRejection", die);
let takeKeys: (keys: DataKeys) => void = () => undefined;
const deps: StorageNodeDeps = {
  clock: realClock,
  disk: realDisk,
  entropy: realEntropy,
  logger,
  onFatal: die,
  followKeys: (take) => (takeKeys = take),
};
const node = await runStorageNode(config, deps).catch(die);
serve({
  setKeys: (params) => takeKeys(parseDataKeys(params)),
  setPeers: (params) => node.setPeers(parseNewPeers(params)),
  injectFault: (params) => node.faults.inject(params),
  faults: () => node.faults.report,
});
const reason = await untilStopped(stop);
logger.info({ event: "node.stopping", reason });
await node.close().catch(die);
end();
