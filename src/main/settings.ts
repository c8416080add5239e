import { z } from "zod";
import { stretchesIn } from "./stretches.ts";

function isAddressList(text: string): boolean {
  try {
    // Commas alone would be nobody in a list of an endpoint, and everybody here: neither is meant.
    return stretchesIn(text).length > 0 || text === "";
  } catch {
    return false;
  }
}

/**
 * The settings of `DIR/borealis.json`, with their units in their names. Sources in rising order: defaults, the file,
 * `BOREALIS_*` (dots become underscores: BOREALIS_LOG_LEVEL), `up --set key=value`.
 */
export const settingsSchema = z.strictObject({
  "log.level": z
    .enum(["debug", "info", "warn", "error"])
    .default("info")
    .describe("least level of the log lines that are kept"),
  "log.maxBytes": z
    .number()
    .int()
    .min(65_536)
    .default(16 * 1024 * 1024)
    .describe("size at which a log file is rotated (one old file is kept)"),
  "storage.segmentBytes": z
    .number()
    .int()
    .min(1024 * 1024)
    .max(1024 * 1024 * 1024)
    .default(16 * 1024 * 1024)
    .describe("size of one log segment file on a storage node"),
  "storage.encryption": z
    .enum(["on", "off"])
    .default("on")
    .describe("at creation only: whether storage nodes encrypt what they store"),
  "storage.transport": z
    .enum(["unix", "tls"])
    .default("unix")
    .describe("how processes reach storage nodes: unix sockets, or TCP with mutual TLS"),
  "storage.scrubHours": z
    .number()
    .int()
    .min(1)
    .max(500)
    .default(168)
    .describe(
      "in how long all log and all objects of snapshots are read through once, to find rot",
    ),
  "objectStore.url": z
    .string()
    .default("")
    .describe(
      "where snapshots and the log's archive are kept: file: and a folder, or s3://bucket/prefix; default: objects/ of the data directory",
    ),
  "archive.enabled": z
    .enum(["on", "off"])
    .default("on")
    .describe(
      "whether the log is copied to the object store, so that the volume can be restored from there alone",
    ),
  "archive.intervalMs": z
    .number()
    .int()
    .min(100)
    .max(60_000)
    .default(2_000)
    .describe("how often new log is archived: so much is lost at most when all storage nodes are"),
  "archive.rateMaxBytes": z
    .number()
    .int()
    .min(0)
    .default(128 * 1024 * 1024)
    .describe("bytes of log a second that are archived at most after a break; 0: no bound"),
  "snapshot.logBytes": z
    .number()
    .int()
    .min(1024 * 1024)
    .default(1024 * 1024 * 1024)
    .describe(
      "a snapshot is taken when there is so much log since the last one: an instance that is built again replays about as much",
    ),
  "snapshot.maxAgeMinutes": z
    .number()
    .int()
    .min(1)
    .max(10_080)
    .default(60)
    .describe("or when the last one is so old, and 16 MiB of log have come since"),
  "snapshot.collectMinutes": z
    .number()
    .int()
    .min(1)
    .max(1_440)
    .default(60)
    .describe(
      "how often what no snapshot holds any more is deleted in all stores; what came there less than that ago stays until the next time",
    ),
  "snapshot.rateMaxBytes": z
    .number()
    .int()
    .min(0)
    .default(64 * 1024 * 1024)
    .describe(
      "bytes a second that a snapshot reads from its instance at most, so that the workload loses little; 0: no bound",
    ),
  "retention.days": z
    .number()
    .int()
    .min(0)
    .max(35)
    .default(1)
    .describe(
      "how far back automatic snapshots and log are kept; 0: only the newest snapshot and the log behind it",
    ),
  "session.holdTimeoutMs": z
    .number()
    .int()
    .min(0)
    .default(30_000)
    .describe(
      "how long a new connection waits while no instance is open for it, and a result while the writer's gate is closed",
    ),
  "session.replayMaxBytes": z
    .number()
    .int()
    .min(0)
    .max(64 * 1024 * 1024)
    .default(1024 * 1024)
    .describe(
      "so many bytes of a transaction's messages are kept, to run it again after a failover; beyond that it is 40001 then; 0: nothing is run again. Each session may take twice as much memory of the proxy",
    ),
  "pool.mode": z
    .enum(["off", "auto"])
    .default("off")
    .describe(
      "auto: sessions share server connections; one has a connection for as long as something of it lives there. ALTER DATABASE or ROLE ... SET borealis.pool = auto or off decides for its own",
    ),
  "pool.endpoints": z
    .string()
    .regex(/^([a-z][a-z0-9-]*(,[a-z][a-z0-9-]*)*)?$/, "names of endpoints, parted by commas")
    .default("")
    .describe("where pool.mode is meant: names of endpoints, parted by commas; empty: all"),
  "pool.maxConnectionsPercent": z
    .number()
    .int()
    .min(1)
    .max(100)
    .default(90)
    .describe("of the connections that an instance takes, so many are for pools at most"),
  "pool.borrowTimeoutMs": z
    .number()
    .int()
    .min(0)
    .max(3_600_000)
    .default(120_000)
    .describe("how long a statement waits for a server connection of the pool; then 53300"),
  "pool.idleTimeoutMs": z
    .number()
    .int()
    .min(1_000)
    .max(86_400_000)
    .default(600_000)
    .describe("a server connection of a pool that nobody has used for so long is closed"),
  "gate.mode": z
    .enum(["lease", "round", "off"])
    .default("lease")
    .describe(
      "what the writer's results wait for, so that a writer that was fenced shows nothing stale: a lease of three storage nodes, a round to them for each statement, or nothing (off)",
    ),
  "gate.leaseMs": z
    .number()
    .int()
    .min(500)
    .max(10_000)
    .default(2_000)
    .describe(
      "length of the lease; a takeover from a writer that was not seen to die waits so long",
    ),
  "failover.detectionMs": z
    .number()
    .int()
    .min(500)
    .max(600_000)
    .default(2_000)
    .describe(
      "how long the writer, or its agent, may answer nothing before another instance takes over, and a reader before its sessions go on elsewhere; the end of a process counts at once",
    ),
  "process.hangMs": z
    .number()
    .int()
    .min(0)
    .max(3_600_000)
    .refine((ms) => ms === 0 || ms >= 5_000, "0, or 5000 and more")
    .default(15_000)
    .describe(
      "how long a process of Borealis may answer nothing before it is killed and started again (the proxy's sessions end with it; an instance's PostgreSQL starts again, too); 0: any time",
    ),
  "reader.lagMaxMs": z
    .number()
    .int()
    .min(3_000)
    .max(86_400_000)
    .default(10_000)
    .describe(
      "how far a reader may be behind and still get new sessions at the reader endpoint and at custom ones",
    ),
  "reader.warmEveryMs": z
    .number()
    .int()
    .min(0)
    .max(3_600_000)
    .default(30_000)
    .describe(
      "how often readers of tier 0 and 1 read ahead what the writer has in its buffers, so that a promoted one is not cold; 0: never",
    ),
  "session.unauthenticatedMax": z
    .number()
    .int()
    .min(1)
    .max(100_000)
    .default(2_000)
    .describe("connections that may be logging in at the same time"),
  "session.unauthenticatedPerAddressMax": z
    .number()
    .int()
    .min(1)
    .max(100_000)
    .default(1_000)
    .describe("... from one address (of IPv6: from one network of 64 bits)"),
  "session.connectionsPerSecond": z
    .number()
    .int()
    .min(0)
    .max(1_000_000)
    .default(1_000)
    .describe("new connections from one address in a second, in the long run; 0: any number"),
  "session.connectionsBurst": z
    .number()
    .int()
    .min(1)
    .max(1_000_000)
    .default(5_000)
    .describe("... at once, from an address that has been quiet"),
  "session.failuresMax": z
    .number()
    .int()
    .min(0)
    .max(100_000)
    .default(50)
    .describe(
      "so many wrong passwords from one address are told at once; then it is slowed down, and no other",
    ),
  "session.failureDelayMs": z
    .number()
    .int()
    .min(0)
    .max(60_000)
    .default(3_000)
    .describe(
      "after how long a wrong password is told to an address that is slowed down, and in how long one is forgiven; 0: no address is",
    ),
  "access.allow": z
    .string()
    .max(10_000)
    .refine(
      isAddressList,
      "stretches of addresses, like 10.0.0.0/8,fd00::/8, parted by commas; empty is everybody, and commas or spaces alone are refused",
    )
    .default("")
    .describe(
      "from which addresses endpoints take connections, parted by commas; empty: from all. borealis access sets it for one endpoint",
    ),
  "audit.enabled": z
    .enum(["on", "off"])
    .default("on")
    .describe("on: who logs in, who is refused and what is asked for is written to log/audit.log"),
  "audit.statements": z
    .enum(["none", "ddl", "all"])
    .default("ddl")
    .describe("which statements are: none, those that define things or give rights, or all"),
  "audit.maxBytes": z
    .number()
    .int()
    .min(65_536)
    .default(16 * 1024 * 1024)
    .describe("size at which the audit goes on in another file"),
  "audit.files": z
    .number()
    .int()
    .min(1)
    .max(1_000)
    .default(10)
    .describe("so many files of it are kept, with the one that is written"),
  "session.authenticationTimeoutMs": z
    .number()
    .int()
    .min(1_000)
    .default(60_000)
    .describe("how long a client may take to log in"),
  "backtrack.windowHours": z
    .number()
    .int()
    .min(1)
    .max(840)
    .default(24)
    .describe("for how long a future that a backtrack left can be returned to"),
  "loopback.addresses": z
    .enum(["on", "off"])
    .default("on")
    .describe(
      "on: endpoints at 127.0.0.1 answer at the writer's port of 127.0.0.2, 127.0.0.10 and so on, too, by which AWS's wrappers tell instances apart; off: they leave these to others",
    ),
  "sql.aurora": z
    .enum(["on", "off"])
    .default("on")
    .describe(
      "on: Aurora's functions, settings and roles are made in every database, and kept true; off: nothing new is made, and what is there tells nothing",
    ),
  "iam.enabled": z
    .enum(["on", "off"])
    .default("off")
    .describe(
      "on: who is a member of rds_iam logs in by tokens of borealis iam's access keys, over TLS, and by no password",
    ),
  "iam.region": z
    .string()
    .regex(/^[a-z0-9]+(-[a-z0-9]+)*$/, "a region, like us-east-1")
    .max(32)
    .default("us-east-1")
    .describe("the region that tokens have to be made for"),
  "iam.hosts": z
    .string()
    .regex(/^([A-Za-z0-9._:-]+(,[A-Za-z0-9._:-]+)*)?$/, "names of hosts, parted by commas")
    .default("")
    .describe(
      "names and addresses by which clients reach the endpoints, parted by commas: tokens are for one of them, or for the address that endpoints listen on",
    ),
  "engine.osUser": z
    .string()
    .default("")
    .describe(
      "user that runs PostgreSQL when started by root (default: borealis, postgres or nobody)",
    ),
});
