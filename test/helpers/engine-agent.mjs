// Stands for an instance agent in tests of engine: starts a PostgreSQL, says so in one line of JSON, and then waits
// on its stdin, or stops it again if told to. Its configuration is one line of JSON in the last argument.
const { compiledDir, workDir, mode, useLauncher, postgresBin } = JSON.parse(
  process.argv[2] ?? "{}",
);
const engineRoom = await import(`${compiledDir}/engine/index.js`);
const io = await import(`${compiledDir}/io/index.js`);
process.stdin.resume();

const osUser = await engineRoom.chooseOsUser();
const found = await engineRoom.findEngine({ postgresBin, runnableBy: osUser });
const engine = useLauncher ? found : { ...found, launcher: [] };
const instances = await engineRoom.placeInstances({ dataDir: `${workDir}/data`, osUser });
const genesisDir = `${workDir}/data/genesis`;
const volumeId = "11111111-2222-3333-4444-555555555555";
const instanceDir = `${instances}/instance-1`;
await engineRoom.createGenesis({ engine, osUser, genesisDir });
await engineRoom.seedInstance({ genesisDir, instanceDir, osUser, volumeId });
const postgres = new engineRoom.Postgres({
  engine,
  osUser,
  instance: "instance-1",
  dataDir: engineRoom.dataDirOf(instanceDir),
  socketDir: `${workDir}/run/pg-instance-1`,
  feedDir: `${workDir}/run/pg-instance-1/feed`,
  logFile: `${workDir}/data/log/postgres-instance-1.txt`,
  logger: io.openLogger({ file: undefined, process: "test" }),
});
await postgres.start("writer");
await postgres.untilReady({ timeoutMs: 20_000 });
const started = {
  pid: postgres.pid,
  dataDir: engineRoom.dataDirOf(instanceDir),
  uid: process.getuid(),
};
if (mode === "hold") {
  process.stdout.write(`${JSON.stringify(started)}\n`);
} else {
  const { isClean } = await postgres.stop("immediate", 10_000);
  process.stdout.write(`${JSON.stringify({ ...started, isClean })}\n`);
  process.exit(0);
}
