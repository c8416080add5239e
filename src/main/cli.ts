import { Command, CommanderError } from "commander";
import { BorealisError, sqlState } from "../base/errors.ts";
import { addAccessCommands } from "./cli-access.ts";
import { addIamCommands } from "./cli-iam.ts";
import { addInstanceCommands } from "./cli-instances.ts";
import { addParameterCommands } from "./cli-parameters.ts";
import { type CommonOptions, reporting, running, withCommon } from "./cli-common.ts";
import { hideSecrets } from "./environment.ts";
import { borealisVersion } from "./paths.ts";
import { printError } from "./print.ts";

/** The `borealis` command line. Each command loads only what it needs, when it runs. */

hideSecrets();

function collect(value: string, before: string[]): string[] {
  return [...before, value];
}

const program = new Command("borealis")
  .description(
    "Amazon Aurora's design, open, on stock PostgreSQL.\nOne command runs a whole cluster: borealis up",
  )
  .version(borealisVersion())
  .addHelpText("after", "\nExample:\n  borealis up --port 6000")
  .configureOutput({
    outputError: (text) => {
      const why = text
        .trim()
        .replace(/^error: /, "")
        .replaceAll("\n", " ");
      const error = new BorealisError(sqlState.invalidParameter, why, {
        hint: "--help lists the options",
      });
      printError(error, process.argv.includes("--json"));
    },
  })
  .exitOverride();

withCommon(program.command("up"), "borealis up --port 6000 --readers 1")
  .description("create the cluster on first use, then run it in the foreground")
  .option("--port <n>", "writer endpoint; the other ports follow from it", "5432")
  .option("--http-port <n>", "status page and health (default: port + 3000)")
  .option("--host <addr>", "address that endpoints listen on", "127.0.0.1")
  .option("--readers <n>", "readers at creation, 0-15", "2")
  .option("--user <name>", "master user, at creation", "postgres")
  .option(
    "--password <text>",
    "master password, at creation (env: BOREALIS_PASSWORD; default: generated)",
  )
  .option(
    "--postgres-bin <dir>",
    "directory with postgres and initdb of PostgreSQL 15-18 (default: embedded)",
  )
  .option(
    "--object-store <url>",
    "where snapshots and the log's archive go: file: or s3: (default: objects/ of the data directory)",
  )
  .option(
    "--no-superuser",
    "at creation: the master user is Aurora's rds_superuser, not a superuser",
  )
  .option("--tls <mode>", "off, prefer or require", "prefer")
  .option("--tls-cert <file>", "certificate for the endpoints (default: self-signed)")
  .option("--tls-key <file>", "its key")
  .option(
    "--set <key=value>",
    "a setting (borealis config lists them); may be repeated",
    collect,
    [],
  )
  .option("--detach", "return when ready; borealis down stops it")
  .action(
    running(async (options: CommonOptions, command: Command) => {
      const given = Object.keys(options).filter(
        (key) => command.getOptionValueSource(key) === "cli",
      );
      await (await import("./up.ts")).up({ ...options, given });
    }),
  );

withCommon(program.command("status"), "borealis status --json")
  .description("show endpoints, instances, storage and volume")
  .action(
    running(async (options: CommonOptions) => (await import("./commands.ts")).status(options)),
  );

withCommon(program.command("url"), 'psql "$(borealis url reader)"')
  .description("print a connection URL")
  .argument("[endpoint]", "writer, reader, an instance or a custom endpoint", "writer")
  .action(
    running(async (endpoint: string, options: CommonOptions) =>
      (await import("./commands.ts")).url(endpoint, options),
    ),
  );

withCommon(program.command("logs"), "borealis logs proxy -f")
  .description("show log lines, readable")
  .argument(
    "[process]",
    "proxy, control-plane, supervisor, a storage node or an instance (default: all)",
  )
  .option("-f, --follow", "go on as lines come")
  .action(
    running(async (name: string | undefined, options: CommonOptions & { follow?: boolean }) =>
      (await import("./logs.ts")).logs(name, options),
    ),
  );

withCommon(program.command("events"), "borealis events --since -1h")
  .description("show what has happened: failovers, repairs, snapshots, refused log-ins")
  .option("--since <time>", "-1h, or 2026-11-28T22:10:03Z (default: as long as they are kept)")
  .option("--limit <number>", "the newest so many (default: 100)")
  .action(
    running(async (options: CommonOptions & { since?: string; limit?: string }) =>
      (await import("./events-command.ts")).events(options),
    ),
  );

withCommon(program.command("down"), "borealis down")
  .description("stop a running cluster")
  .option("--immediate", "do not wait for sessions and checkpoints; nothing acknowledged is lost")
  .action(
    running(async (options: CommonOptions & { immediate?: boolean }) =>
      (await import("./commands.ts")).down(options),
    ),
  );

withCommon(program.command("failover"), "borealis failover --target instance-2")
  .description("promote a reader; returns when the new writer accepts writes")
  .option("--target <instance>", "the reader (default: lowest tier, then most caught up)")
  .action(
    reporting(async (place, options: CommonOptions & { target?: string }) =>
      (await import("./failover-command.ts")).failover(place, options),
    ),
  );

withCommon(program.command("backtrack"), "borealis backtrack --to -5m --dry-run")
  .description(
    "rewind the cluster in place; what is undone can be returned to while it is kept\n" +
      "(--to with the LSN that is printed, or a time in it)",
  )
  .requiredOption("--to <moment>", "a time (ISO 8601, -5m, -2h) or an LSN")
  .option("--dry-run", "say what would be undone, and do nothing")
  .action(
    reporting(async (place, options: CommonOptions & { to: string; dryRun?: boolean }) => {
      const { to, dryRun: isDryRun = false } = options;
      const { backtrack } = await import("./backtrack-command.ts");
      return backtrack(place, { to, isDryRun, option: "--to" });
    }),
  );

withCommon(program.command("config"), "borealis config log.level debug")
  .description("show settings, or change one (from the next start on)")
  .argument("[key]")
  .argument("[value]")
  .action(
    running(async (key: string | undefined, value: string | undefined, options: CommonOptions) =>
      (await import("./commands.ts")).config(key, value, options),
    ),
  );

addInstanceCommands(program);

withCommon(program.command("clone"), "borealis clone --into ../copy --port 7000")
  .description("make a new cluster that shares this one's data and writes only its own changes")
  .requiredOption(
    "--into <dir>",
    "the new cluster's data directory: empty, on the same file system",
  )
  .option("--to <moment>", "a time (ISO 8601, -5m, -2h) or a position of the log (default: now)")
  .option("--readers <n>", "its readers, 0-15 (default: as many as this cluster has)")
  .option("--copy", "copy the bytes instead of sharing them: for another file system")
  .option("--port <n>", "start it there at once; borealis down stops it")
  .action(
    running(async (options: import("./clone-command.ts").CloneOptions) =>
      (await import("./clone-command.ts")).clone(options),
    ),
  );

withCommon(program.command("delete"), "borealis delete --data-dir ../copy --yes")
  .description("end a cluster or clone for good, and release what it shared")
  .option("--keep-snapshots", "keep objects/ and keys/, from which it can be restored")
  .option("--force", "stop it first if it runs")
  .option("--yes", "do not ask")
  .action(
    running(async (options: import("./delete-command.ts").DeleteOptions) =>
      (await import("./delete-command.ts")).deleteCluster(options),
    ),
  );

withCommon(program.command("restore"), "borealis restore --to -5m --into ./restored")
  .description("a new cluster in another directory, as this one was at a moment")
  .requiredOption("--into <dir>", "the new cluster's data directory: empty, or not there yet")
  .option("--to <moment>", "a time (ISO 8601, or -5m, -2h), a position of the log, or latest")
  .option("--from <snapshot>", "a snapshot, as it was when it was taken")
  .option("--store <url>", "not this cluster: a volume of this object store, alone")
  .option("--volume <id>", "with --store: which one")
  .option("--keys <file>", "with --store: the key file (default: keys/master.json of --data-dir)")
  .option("--readers <n>", "readers of the new cluster, 0-15 (default: as many as here)")
  .option("--postgres-bin <dir>", "PostgreSQL of the same major version (default: as here)")
  .action(
    running(async (options: CommonOptions & { into: string }) =>
      (await import("./restore-command.ts")).restore(options),
    ),
  );

const storage = program.command("storage").description("the six storage nodes");
withCommon(storage.command("list"), "borealis storage list")
  .description("show the storage nodes, and the clones whose log they keep")
  .action(
    running(async (options: CommonOptions) =>
      (await import("./clones-commands.ts")).storageList(options),
    ),
  );
for (const verb of ["stop", "start"] as const) {
  withCommon(storage.command(verb), `borealis storage ${verb} az1-full az2-tail`)
    .description(
      verb === "stop"
        ? "planned outage: stays down until started, or until the next up"
        : "end a planned outage",
    )
    .argument("<ids...>")
    .action(
      reporting(async (place, ids: string[]) =>
        (await import("./storage-commands.ts")).storageSwitch(place, verb, ids),
      ),
    );
}
withCommon(storage.command("replace"), "borealis storage replace az1-full")
  .description(
    "give a storage node a new identity and an empty disk; returns when it has caught up",
  )
  .argument("<id>")
  .action(
    reporting(async (place, id: string) =>
      (await import("./storage-commands.ts")).storageReplace(place, id),
    ),
  );

withCommon(storage.command("scrub"), "borealis storage scrub az1-full")
  .description(
    "read all that storage nodes and the object store have, compare it, heal what has rotted",
  )
  .argument("[id]", "one node (default: all, and the object store)")
  .action(
    reporting(async (place, id: string | undefined) =>
      (await import("./scrub-command.ts")).storageScrub(place, id),
    ),
  );

const snapshot = program.command("snapshot").description("snapshots of the volume");
withCommon(snapshot.command("create"), "borealis snapshot create before-upgrade")
  .description(
    "take a snapshot that stays until it is deleted (with the cluster, unless that is with --keep-snapshots)",
  )
  .argument("[id]", "lower-case letters, digits, dots and hyphens (default: snapshot-TIME)")
  .action(
    reporting(async (place, id: string | undefined) =>
      (await import("./snapshot-changes.ts")).snapshotCreate(place, id),
    ),
  );
withCommon(snapshot.command("list"), "borealis snapshot list")
  .description("show all snapshots, automatic ones too")
  .option("--store <url>", "not of this cluster: of a volume of this object store")
  .option("--volume <id>", "with --store: which one")
  .option("--keys <file>", "with --store: the key file (default: keys/master.json of --data-dir)")
  .action(
    running(async (options: CommonOptions & import("./restore-store-source.ts").StoreOptions) =>
      (await import("./snapshot-commands.ts")).snapshotList(options),
    ),
  );
withCommon(snapshot.command("delete"), "borealis snapshot delete before-upgrade")
  .description(
    "delete a snapshot; what no other one holds is given back within two times snapshot.collectMinutes (default: two hours)",
  )
  .argument("<id>")
  .option("--store <url>", "not of this cluster: of a volume of this object store")
  .option("--volume <id>", "with --store: which one")
  .option("--keys <file>", "with --store: the key file (default: keys/master.json of --data-dir)")
  .action(
    reporting(
      async (
        place,
        id: string,
        options: CommonOptions & import("./restore-store-source.ts").StoreOptions,
      ) => {
        const { storePlaceOf } = await import("./restore-store-source.ts");
        const store = storePlaceOf(options);
        return store
          ? (await import("./snapshot-store-delete.ts")).snapshotDeleteInStore(place, id, store)
          : (await import("./snapshot-changes.ts")).snapshotDelete(place, id);
      },
    ),
  );
withCommon(snapshot.command("copy"), "borealis snapshot copy before-upgrade --to file:/mnt/copies")
  .description("copy a snapshot to another object store, or back from there; may be repeated")
  .argument("<id>")
  .option("--to <url>", "the store to copy to: file: or s3:")
  .option("--from <url>", "bring it back from this store (the cluster must be down)")
  .option("--store <url>", "with --to: not of this cluster: of a volume of this object store")
  .option("--volume <id>", "with --store: which one")
  .option("--keys <file>", "with --store: the key file (default: keys/master.json of --data-dir)")
  .action(
    reporting(
      async (
        place,
        id: string,
        options: CommonOptions & import("./snapshot-copy.ts").CopyOptions,
      ) => (await import("./snapshot-copy.ts")).snapshotCopy(place, id, options),
    ),
  );

withCommon(storage.command("salvage"), "borealis storage salvage")
  .description("the way out when an availability zone and one more node are lost for good")
  .option("--yes", "do not ask")
  .action(
    running(async (options: CommonOptions & { yes?: boolean }) =>
      (await import("./salvage-command.ts")).storageSalvage(options),
    ),
  );

withCommon(storage.command("unpin"), "borealis storage unpin ../copy")
  .description("release the log that is kept for a clone which was removed by hand")
  .argument("<clone>", "its data directory, or the id that borealis storage list shows")
  .option("--force", "also for a clone that is still there")
  .action(
    running(async (name: string, options: CommonOptions & { force?: boolean }) =>
      (await import("./clones-commands.ts")).storageUnpin(name, options),
    ),
  );

const keys = program.command("keys").description("the volume's encryption keys");
withCommon(keys.command("list"), "borealis keys list")
  .description("show the data keys, without any secret")
  .action(
    running(async (options: CommonOptions) =>
      (await import("./key-commands.ts")).keysList(options),
    ),
  );
withCommon(keys.command("rotate"), "borealis keys rotate")
  .description("encrypt with a new data key from now on; writes go on")
  .option("--master", "make a new master key instead, and wrap every data key with it")
  .action(
    running(async (options: CommonOptions & { master?: boolean }) =>
      (await import("./key-commands.ts")).keysRotate(options),
    ),
  );

const password = program.command("password").description("the master user's password");
withCommon(password.command("show"), "borealis password show")
  .description("print it, as far as it is known here")
  .action(
    running(async (options: CommonOptions) =>
      (await import("./password-command.ts")).passwordShow(options),
    ),
  );
withCommon(password.command("set"), "borealis password set --password 'another one'")
  .description("make it another one, whether or not anybody knows the last")
  .option("--password <text>", "the new one (env: BOREALIS_PASSWORD; default: generated)")
  .action(
    running(async (options: CommonOptions & { password?: string }) =>
      (await import("./password-command.ts")).passwordSet(options),
    ),
  );

addAccessCommands(program);
addIamCommands(program);
addParameterCommands(program);

// `borealis status | head` closes the pipe: that is the reader's right, not an error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  process.exit(error.code === "EPIPE" ? 0 : 1);
});
try {
  await program.parseAsync(process.argv);
} catch (error) {
  if (!(error instanceof CommanderError)) throw error;
  process.exitCode = error.exitCode === 0 ? 0 : 2;
}
