import { z } from "zod";
import { durationBoundsMs } from "../base/histogram.ts";
import { findLsn } from "../base/lsn.ts";
import { commitParts } from "../log-driver/index.ts";
import { objectNameBytesMax } from "../volume/index.ts";
import { holdingSchema } from "./fault-messages.ts";
import { startPhases } from "./start-phases.ts";

/**
 * What the control plane, the proxy and other agents may ask of an instance's agent, over its control socket, and
 * what it tells. LSNs travel as text.
 */
export const roleSchema = z.enum(["none", "reader", "writer"]);
export type Role = z.infer<typeof roleSchema>;

/** What SQL shows of an instance, and nothing is decided by. */
export const figuresSchema = z.object({
  /** Names this life of its PostgreSQL. */
  sessionId: z.string(),
  /** Percent of one processor; 0 before it is known. */
  cpu: z.number(),
  /** Reader: log that its PostgreSQL has. */
  receivedLsn: z.string().nullable(),
  /** Reader: the oldest transaction that its queries may still see. */
  feedback: z.object({ xmin: z.number(), xminEpoch: z.number() }).nullable(),
});
export type Figures = z.infer<typeof figuresSchema>;

/** How the building of a cache gets on. */
export const buildingSchema = z.object({
  /** For people: `unpacking a snapshot`. */
  step: z.string(),
  doneBytes: z.number(),
  /** Null: nobody knows. */
  totalBytes: z.number().nullable(),
});
export type Building = z.infer<typeof buildingSchema>;

/** More are known by a scrub. */
export const unreadableMax = 16;

export const instanceStatusSchema = z.object({
  id: z.string(),
  role: roleSchema,
  state: z.enum(["starting", "available", "recovering", "stopped", "failed"]),
  /** Counts the starts of this instance's PostgreSQL as seen by its agent; with agentPid it names one life of it. */
  incarnation: z.number().int(),
  agentPid: z.number().int(),
  postgresPid: z.number().int().nullable(),
  /** True when sessions may come in: on the writer only after VDL has passed the end of its local log. */
  isAdmitted: z.boolean(),
  epoch: z.number().int(),
  timeline: z.number().int(),
  vdl: z.string().nullable(),
  /** Writer: VDL was that, at least, at this time, in milliseconds since 1970; it is told on when nothing else changes. */
  vdlAtMs: z.number().nullable(),
  replayLsn: z.string().nullable(),
  lagMs: z.number().nullable(),
  /** Writer: whether a write quorum answers. */
  hasQuorum: z.boolean(),
  /** Reader: the log from here on has to stay, since a restart begins there; null: not known. */
  restartLsn: z.string().nullable(),
  /** Reader: made ready for a backtrack to here. */
  stagedAt: z.string().nullable().default(null),
  /** Writer: how this life of its PostgreSQL as the writer began, from before it gave out a transaction id. */
  opening: z
    .object({
      epoch: z.number().int(),
      /** The epoch of the last byte before its own; null: the volume was empty. */
      previous: z.number().int().nullable(),
      nextXid: z.string(),
      /** Names this start of its PostgreSQL; as session's fateQuery has it. */
      postmaster: z.string(),
    })
    .nullable()
    .default(null),
  /** Its cache is being built; null: it is not. */
  building: buildingSchema.nullable().default(null),
  /** Objects of snapshots that it has found good in no store when it built its cache, the newest last. The keeper judges them. */
  unreadable: z.array(z.string().max(objectNameBytesMax)).max(unreadableMax).optional(),
  /** Why it is not available, for people. */
  problem: z.string().nullable(),
  figures: figuresSchema.optional(),
  /** Reader: an injected fault keeps log back from it. */
  heldLog: holdingSchema.optional(),
});
export type InstanceStatus = z.infer<typeof instanceStatusSchema>;

/** As base/histogram.ts has them. */
export const durationsSchema = z.object({
  counts: z
    .array(z.number().int().min(0))
    .length(durationBoundsMs.length + 1)
    .readonly(),
  sumMs: z.number().min(0),
});

/** What an agent has counted since it began, for metrics. */
export const instanceFiguresSchema = z.object({
  /** Of its starts as the writer; see start-phases.ts. */
  starts: z.record(z.enum(startPhases), durationsSchema),
  /** Of the log drivers that it had while it was the writer, as log-driver/driver-figures.ts has it. */
  driver: z.object({
    commits: z.number().min(0),
    logBytes: z.number().min(0),
    parts: z.record(z.enum(commitParts), durationsSchema),
    durable: durationsSchema,
    appends: z.array(z.object({ node: z.string(), durations: durationsSchema })).readonly(),
  }),
});
export type InstanceFigures = z.infer<typeof instanceFiguresSchema>;

/** One instance, for what SQL shows of the cluster. */
export const instanceSightSchema = z.object({
  id: z.string(),
  /** Of its endpoint, by which clients that tell instances apart by address know it; null: it has none of its own. */
  address: z.string().nullable(),
  isWriter: z.boolean(),
  vdl: z.string().nullable(),
  replayLsn: z.string().nullable(),
  lagMs: z.number().nullable(),
  figures: figuresSchema.nullable(),
  /** When it was last heard of, milliseconds since 1970. */
  heardAtMs: z.number(),
});
export type InstanceSight = z.infer<typeof instanceSightSchema>;

/** All members, also those that are away; the control plane tells each agent, which shows it in SQL. */
export const clusterSightSchema = z.object({
  instances: z.array(instanceSightSchema),
  volume: z.object({
    protectionGroups: z.number().int(),
    nodes: z.number().int(),
    /** Of a clone; null: it is none, or does not know. */
    branchLsn: z.string().nullable(),
  }),
});
export type ClusterSight = z.infer<typeof clusterSightSchema>;

/** What an agent's own file tells its next life; the other columns of a row are shown again as they are. */
export const keptSightSchema = z.object({
  /** Whose it is: caches are built from copies of others', a clone's from its parent's. */
  of: z.string(),
  instances: z.array(z.looseObject({ server_id: z.string(), session_id: z.string().nullable() })),
  volume: clusterSightSchema.shape.volume.nullable(),
});
export type KeptSight = z.infer<typeof keptSightSchema>;

/** Done once in a volume's life, through the log like anything else; idempotent. */
export const bootstrapSchema = z.object({
  masterUser: z.string(),
  password: z.string(),
  isSuperuser: z.boolean(),
});
export type Bootstrap = z.infer<typeof bootstrapSchema>;

/** Another instance, from whose PostgreSQL a cache may be built again. Those that cost least come first. */
export const backupSourceSchema = z.object({ id: z.string(), socketDir: z.string() });
export type BackupSource = z.infer<typeof backupSourceSchema>;

const lsnText = z.string().refine((text) => findLsn(text) !== undefined, "an LSN");

/** A path through the volume's log. */
export const pathSchema = z.array(
  z.object({
    epoch: z.number().int(),
    timeline: z.number().int(),
    start: lsnText,
    kind: z.enum(["branch", "backtrack"]),
    volumeId: z.string().optional(),
  }),
);
export type PathText = z.infer<typeof pathSchema>;

/** A backtrack that the next writer carries out when it takes the volume. */
export const backtrackOrderSchema = z.object({
  /** Where the path is left: a record end. */
  to: lsnText,
  /** Undo of a backtrack: the log of a path that was left, from `to` up to here. */
  refill: z.object({ path: pathSchema, to: lsnText }).nullable(),
  /** The epoch of the writer that the backtrack was asked of: a backtrack entry of a newer one at `to` is this one. */
  sinceEpoch: z.number().int(),
});
export type BacktrackOrder = z.infer<typeof backtrackOrderSchema>;

export const beWriterSchema = z.object({
  bootstrap: bootstrapSchema.nullable(),
  sources: z.array(backupSourceSchema),
  backtrack: backtrackOrderSchema.nullable().default(null),
});
export type WriterOrder = z.infer<typeof beWriterSchema>;

export const beReaderSchema = z.object({
  /** The writer's agent, which takes hot standby feedback. */
  writerAgentSocket: z.string(),
  sources: z.array(backupSourceSchema),
  /** Made ready for a backtrack to here: replays not a byte beyond, and takes no sessions. */
  stageAt: lsnText.nullable().default(null),
  /** The volume has met backtracks: which path it is on has to be known before a cache is used. */
  mustKnowPath: z.boolean().default(false),
});
export type ReaderOrder = z.infer<typeof beReaderSchema>;

export const writerMovedSchema = z.object({ writerAgentSocket: z.string() });

/** `isHurried`: it answers nobody, and is killed. */
export const yieldVolumeSchema = z.object({ isHurried: z.boolean().default(false) });
export type YieldOrder = z.infer<typeof yieldVolumeSchema>;

export const drainSchema = z.object({ withinMs: z.number(), blocksMs: z.number() });

/**
 * An agent that answers lives; `silentMs`: since its PostgreSQL last answered, 0 if that has reasons not to;
 * `standstillMs`: since its promotion last came nearer to its end, 0 if there is none, or it waits for others.
 */
export const pulseSchema = z.object({ silentMs: z.number(), standstillMs: z.number() });
export type PulseReport = z.infer<typeof pulseSchema>;

/** Another password for the master user. `verifier` is SCRAM-SHA-256's, never the password. */
export const masterPasswordSchema = z.object({
  user: z.string(),
  verifier: z.string().startsWith("SCRAM-SHA-256$"),
});
export type MasterPassword = z.infer<typeof masterPasswordSchema>;

export const untilDurableSchema = z.object({ what: z.enum(["flushed", "inserted"]) });

/** `life` is that of the writer whose session asks, as the topology names it: agent's pid and incarnation. */
export const readGateSchema = z.object({ life: z.string() });

/** How results of reads on this life of the writer may go out; null: it is over. */
export const readLeaseSchema = z.object({
  /** In lease mode: for so long from the request on; 0: not now. */
  validMs: z.number().min(0).nullable(),
});
export type ReadLease = z.infer<typeof readLeaseSchema>;

/** In round mode: a round that began after the request is confirmed. */
export const readRoundSchema = z.object({ isConfirmed: z.boolean() });
export type ReadRound = z.infer<typeof readRoundSchema>;

/** A standby's feedback ('h' of the streaming protocol): oldest transaction that its queries may still see. */
export const feedbackSchema = z.object({
  from: z.string(),
  xmin: z.number().int().min(0).max(0xffff_ffff),
  xminEpoch: z.number().int().min(0).max(0xffff_ffff),
  catalogXmin: z.number().int().min(0).max(0xffff_ffff),
  catalogXminEpoch: z.number().int().min(0).max(0xffff_ffff),
});
export type Feedback = z.infer<typeof feedbackSchema>;

/** The address book: every node that may be a member of the volume. The control plane tells of each change. */
export const volumeNodesSchema = z.array(
  z.object({
    name: z.string(),
    nodeId: z.string(),
    az: z.string(),
    kind: z.enum(["full", "tail"]),
    /** As base/address.ts writes it. */
    address: z.string(),
    /** False for one that joins: a configuration of the nodes' own may name it, a first claim does not. */
    isMember: z.boolean(),
  }),
);
export type VolumeNodes = z.infer<typeof volumeNodesSchema>;

export const setNodesSchema = z.object({ nodes: volumeNodesSchema });

/** The members of the volume, as they shall be. */
export const changeMembersSchema = z.object({
  members: z.array(
    z.object({ nodeId: z.string(), az: z.string(), kind: z.enum(["full", "tail"]) }),
  ),
});
export type WantedMembers = z.infer<typeof changeMembersSchema>["members"];

/** Log of a clone: up to the last record end at or below `to`; null: up to VDL. */
export const pinOrderSchema = z.object({ pinId: z.uuid(), to: z.string().nullable() });
export type PinOrder = z.infer<typeof pinOrderSchema>;

export const unpinSchema = z.object({ pinId: z.uuid() });

/** Log that is kept for a clone: [from, to). */
export const pinReportSchema = z.object({ pinId: z.string(), from: z.string(), to: z.string() });
export type PinReport = z.infer<typeof pinReportSchema>;

/** What is in a writer's buffers: five numbers for each range of blocks (hot-blocks.ts), as there may be many. */
export const hotBlocksSchema = z.object({ ranges: z.array(z.number().int().min(0)) });
export type HotBlocks = z.infer<typeof hotBlocksSchema>;

/** The oldest LSN that anything but a lagging node still needs. */
export const needLogSchema = z.object({ from: z.string() });

export const agentConfigSchema = z.object({
  instance: z.string(),
  az: z.string(),
  volumeId: z.string(),
  systemIdentifier: z.string(),
  genesisLsn: z.string(),
  genesisDir: z.string(),
  instanceDir: z.string(),
  socketDir: z.string(),
  agentSocket: z.string(),
  /** The control plane's. */
  controlSocket: z.string(),
  logFile: z.string(),
  logLevel: z.string(),
  logMaxBytes: z.number(),
  postgresLogFile: z.string(),
  engine: z.object({
    binDir: z.string(),
    version: z.string(),
    major: z.number(),
    minor: z.number(),
    launcher: z.array(z.string()),
  }),
  osUser: z.object({ name: z.string(), uid: z.number(), gid: z.number() }).nullable(),
  /** Lease asked of storage nodes with each heartbeat; 0: none (gate.mode round or off). */
  leaseMs: z.number(),
  /** PostgreSQL settings that the user chose. */
  overrides: z.record(z.string(), z.string()),
  /** Whether SQL has Aurora's functions, settings and roles. */
  hasSurface: z.boolean(),
  /** Endpoints take nobody in without TLS. */
  forcesTls: z.boolean(),
  /** As the cluster was when the agent started. */
  nodes: volumeNodesSchema,
  /** Its certificate as an instance of the cluster; null where every node is on this host's sockets. */
  credential: z.object({ ca: z.string(), cert: z.string(), key: z.string() }).nullable(),
  /** Whose extents snapshots are made of: of a clone, its oldest ancestor. */
  addressVolumeId: z.string(),
  /** Where snapshots lie beside the full nodes. */
  objectStoreUrl: z.string(),
  /** What of the supervisor's environment it is opened with: keys, so never logged. */
  objectStoreEnv: z.record(z.string(), z.string()),
  /** As keys/ writes them, to read snapshots with; null: the volume is not encrypted. */
  dataKeys: z.unknown(),
});
export type AgentConfig = z.infer<typeof agentConfigSchema>;
