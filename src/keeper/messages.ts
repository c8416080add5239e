import { z } from "zod";
import { pathSchema, volumeNodesSchema } from "../instance/index.ts";

/** What the control plane says to the keeper, over its socket, and what it is told. LSNs travel as text. */

/** The cluster as the control plane sees it; told anew at each change. */
export const worldSchema = z.object({
  nodes: volumeNodesSchema,
  instances: z.array(
    z.object({
      id: z.string(),
      az: z.string(),
      role: z.enum(["none", "reader", "writer"]),
      /** Its PostgreSQL runs and takes sessions. */
      isAvailable: z.boolean(),
      /** Where its PostgreSQL's socket lies. */
      socketDir: z.string(),
      replayLsn: z.string().nullable(),
    }),
  ),
  /** Of the writer that is open; null: nobody writes. VDL is a lower bound: it was that a moment ago. */
  durable: z
    .object({
      epoch: z.number().int(),
      vdl: z.string(),
      /** It was that at this time, in milliseconds since 1970 on the writer's clock. */
      atMs: z.number(),
    })
    .nullable(),
  /** Names of objects of snapshots that instances have found good in no store, as they say. */
  unreadable: z.array(z.string()),
  /** What backtracks left and may be returned to, and what one that is under way is about to leave. */
  futures: z.array(
    z.object({
      path: pathSchema,
      /** Where the volume's path leaves this one. */
      fork: z.string(),
      end: z.string(),
    }),
  ),
  /** What backtracks left, as far as it is remembered: volume's LeftFuture. */
  left: z.array(
    z.object({
      fork: z.string(),
      end: z.string(),
      leftAtMs: z.number(),
      firstUs: z.string().nullable(),
      returned: z
        .object({ leftAtMs: z.number(), to: z.string(), nextUs: z.string().nullable() })
        .nullable(),
      untilMs: z.number().nullable(),
      merged: z.number().nullable(),
      isParents: z.boolean(),
    }),
  ),
});
export type World = z.infer<typeof worldSchema>;

/** A snapshot, as lists show it. */
export const snapshotRowSchema = z.object({
  id: z.string(),
  kind: z.enum(["genesis", "automatic", "manual"]),
  startLsn: z.string(),
  endLsn: z.string(),
  takenAt: z.string(),
  /** All files' bytes. */
  dataBytes: z.number(),
  /** Bytes of its extents as they are stored; snapshots share them. */
  storedBytes: z.number(),
});
export type SnapshotRow = z.infer<typeof snapshotRowSchema>;

/** One of a list, which shows those too that cannot be read: what nobody knows of such a one is null. */
export const listedSnapshotSchema = snapshotRowSchema.extend({
  startLsn: z.string().nullable(),
  endLsn: z.string().nullable(),
  takenAt: z.string().nullable(),
  dataBytes: z.number().nullable(),
  storedBytes: z.number().nullable(),
  /** Why it cannot be read, for people; null: it can. */
  problem: z.string().nullable(),
});
export type ListedSnapshot = z.infer<typeof listedSnapshotSchema>;
export const snapshotRowsSchema = z.array(listedSnapshotSchema);

/** `id` null: one of the keeper's choice. `automatic` is for tests: it comes by itself. */
export const snapshotCreateSchema = z.object({
  id: z.string().nullable(),
  kind: z.enum(["manual", "automatic"]).default("manual"),
});
export const snapshotDeleteSchema = z.object({ id: z.string() });
/** The answer: which stores do not know of it yet, and follow when they are back; for people. */
export const snapshotDeletedSchema = z.object({ waiting: z.array(z.string()) });
export type SnapshotDeleted = z.infer<typeof snapshotDeletedSchema>;

/** Where snapshots lead to on a path, of which the volume has log from `base` on. */
export const snapshotReachSchema = z.object({ path: pathSchema, base: z.string() });
/** The answer: the lowest LSN that one leads to, and so is every later one; null: none leads anywhere. */
export const snapshotReachedSchema = z.object({ from: z.string().nullable() });
export type SnapshotReached = z.infer<typeof snapshotReachedSchema>;

/** What the keeper does now for snapshots. `id`: of which one; null: of none, or of one that has no name yet. */
export const snapshotJobSchema = z.object({
  what: z.enum(["taking", "deleting", "collecting", "copying"]),
  id: z.string().nullable(),
  doneBytes: z.number(),
  /** Null: nobody knows. */
  totalBytes: z.number().nullable(),
});
export type SnapshotJob = z.infer<typeof snapshotJobSchema>;

/** The bytes of the volume's extents, as one store has them; `sharedBytes` of them are a clone's or the parent's too. */
export const extentReportSchema = z.object({
  bytes: z.number().int(),
  sharedBytes: z.number().int(),
});
export type ExtentReport = z.infer<typeof extentReportSchema>;

/** What the keeper's report says of snapshots. There may be thousands: the list is asked for. */
export const snapshotReportSchema = z.object({
  /** How many there are; null: the stores were not looked at yet. */
  snapshots: z.number().int().nullable(),
  /** When the newest one was taken; null: there is none, or it is not known. */
  newestTime: z.string().nullable(),
  /** Likewise, without those that users took: behind the others log may go. */
  automaticTime: z.string().nullable(),
  /** Snapshots need log from here on, the start of a WAL segment; null: not known, so all that is there. */
  logFrom: z.string().nullable(),
  /** The earliest moment that a snapshot and the log behind it lead to; null: not known. */
  earliestTime: z.string().nullable(),
  /** Null: not counted yet. */
  extents: extentReportSchema.nullable(),
  /** What is being done now; null: nothing. */
  job: snapshotJobSchema.nullable(),
});
export type SnapshotReport = z.infer<typeof snapshotReportSchema>;

/** What the keeper's report says of the archive. */
export const archiveReportSchema = z.object({
  isOn: z.boolean(),
  /** False: no snapshot is in the object store that a restore could begin with, so there is no `latestTime`. */
  hasBase: z.boolean().default(true),
  /** Newest epoch of the path that is archived; null, as below: not known yet, or there is no archive. */
  epoch: z.number().int().nullable(),
  /** All log of that path below is archived, as far as nodes had it. */
  archivedLsn: z.string().nullable(),
  /** Log that is durable and not archived yet. */
  lagBytes: z.number().nullable(),
  /** Everything committed before is archived, with a snapshot to begin with; without an archive: is durable on the nodes. */
  latestTime: z.string().nullable(),
  /** From here on: where the oldest snapshot is complete, but not before the retention window; null: not known. */
  earliestTime: z.string().nullable(),
  /** Why it does not go on; null: all is well. */
  problem: z.string().nullable(),
});
export type ArchiveReport = z.infer<typeof archiveReportSchema>;

/** Who asks for a scrub of objects: identities of full members, and whether the object store is to be read, too. */
export const scrubRequestSchema = z.object({
  nodeIds: z.array(z.string()),
  objectStore: z.boolean(),
});
/** What it found in one store. */
export const storeScrubSchema = z.object({
  /** Null: the object store. */
  nodeId: z.string().nullable(),
  checked: z.number(),
  checkedBytes: z.number(),
  healed: z.number(),
  unhealed: z.number(),
  problem: z.string().nullable(),
});
export type StoreScrub = z.infer<typeof storeScrubSchema>;
export const storeScrubsSchema = z.array(storeScrubSchema);
/** How far one has come that was asked for: bytes of all its stores. `totalBytes` null: not known yet. Null: there is none. */
export const scrubReachSchema = z
  .object({ doneBytes: z.number(), totalBytes: z.number().nullable() })
  .nullable();
export type ScrubReach = z.infer<typeof scrubReachSchema>;

/** How the keeper is; told when it changes. */
export const keeperReportSchema = z.object({
  ...snapshotReportSchema.shape,
  archive: archiveReportSchema,
  /** Objects of snapshots that are good in no store, as far as a scrub has seen; for people. Null: none. */
  damage: z.string().nullable(),
  /** How many objects have been made good since this keeper began, in each store where there were any. Null: the object store. */
  healed: z.array(z.object({ node: z.string().nullable(), count: z.number() })),
  /** Ids of the full members that have all snapshots, as far as is known; they are copied to the others. */
  nodesComplete: z.array(z.string()),
  /** For people: `the folder …`, `s3://…`. */
  objectStore: z.string(),
  /** Why snapshots do not go on, or the object store cannot be used; null: all is well, or `archive.problem` says it. */
  problem: z.string().nullable(),
});
export type KeeperReport = z.infer<typeof keeperReportSchema>;

export const keeperConfigSchema = z.object({
  az: z.string(),
  volumeId: z.string(),
  /** Whose extents these are: of a clone, its oldest ancestor. */
  addressVolumeId: z.string(),
  /** Of a clone: volumes of its family whose objects may lie in the same object store, the parent first. As Relative has them. */
  relatives: z.array(z.object({ volumeId: z.string(), putBeforeMs: z.number().nullable() })),
  systemIdentifier: z.string(),
  genesisLsn: z.string(),
  genesisDir: z.string(),
  /** Where the keeper writes down what is good in no store. */
  lossesFile: z.string(),
  postgresMajor: z.number().int(),
  socket: z.string(),
  objectStoreUrl: z.string(),
  snapshots: z.object({
    /** An automatic one when there is so much log since the last. */
    logBytes: z.number(),
    /** Or when it is so old. */
    maxAgeMs: z.number(),
    /** Extents that nobody names are looked for so often, and go if they are older than that. */
    collectEveryMs: z.number(),
    /** Bytes a second that the source sends at most; 0: no bound. */
    rateMaxBytes: z.number(),
    retentionMs: z.number(),
  }),
  /** In how long all objects are read through once. */
  scrubIntervalMs: z.number(),
  /** What of the supervisor's environment the object store is opened with: keys, so never logged. */
  objectStoreEnv: z.record(z.string(), z.string()),
  archive: z.object({
    isOn: z.boolean(),
    intervalMs: z.number(),
    /** Bytes of log a second while it catches up; 0: no bound. */
    rateMaxBytes: z.number(),
  }),
  /** For volume.json. */
  volume: z.object({
    clusterId: z.string(),
    createdAt: z.string(),
    engineVersion: z.string(),
    masterUser: z.string(),
    isSuperuser: z.boolean(),
    encryption: z.enum(["on", "off"]),
  }),
  /** The wrapped data keys; null: the volume is not encrypted. */
  keyRingFile: z.string().nullable(),
  /** As keys/ writes them; null: the volume is not encrypted. */
  dataKeys: z.unknown(),
  credential: z.object({ ca: z.string(), cert: z.string(), key: z.string() }).nullable(),
  logFile: z.string(),
  logLevel: z.string(),
  logMaxBytes: z.number(),
});
export type KeeperConfig = z.infer<typeof keeperConfigSchema>;
