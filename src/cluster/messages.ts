import { z } from "zod";
import { instanceStatusSchema } from "../instance/index.ts";
import { diskVerdicts } from "./replacement.ts";
import { writerLifeSchema } from "./state.ts";

/** What the control plane says to proxies and the command line, and what it is told. LSNs travel as text. */

/** A port that proxies listen on. */
export const endpointPlaceSchema = z.object({
  id: z.string(),
  type: z.enum(["writer", "reader", "instance", "custom"]),
  port: z.number(),
});

/** Where sessions may go now. Pushed to every proxy at each change. */
export const topologySchema = z.object({
  writer: z.string().nullable(),
  /** Every endpoint that the cluster has, whether anybody is there or not. */
  endpoints: z.array(endpointPlaceSchema),
  instances: z.array(
    z.object({
      id: z.string(),
      role: z.enum(["none", "reader", "writer"]),
      isAdmitted: z.boolean(),
      socketDir: z.string(),
      agentSocket: z.string(),
      incarnation: z.string(),
      /** Newest epoch that it knows to be open; 0: none yet. */
      epoch: z.number(),
      /** As in Lag. */
      lagMs: z.number(),
      isLagging: z.boolean().default(false),
    }),
  ),
  /** Whom the custom endpoints' lists mean, whatever role they have. */
  custom: z
    .array(
      z.object({ id: z.string(), type: z.enum(["reader", "any"]), members: z.array(z.string()) }),
    )
    .default([]),
  /** A backtrack is under way: sessions end. */
  isRewinding: z.boolean().default(false),
  /** In the order of their epochs. */
  lives: z.array(writerLifeSchema).default([]),
});
export type TopologyMessage = z.infer<typeof topologySchema>;

/** Before the first push. */
export const noTopology: TopologyMessage = {
  writer: null,
  endpoints: [],
  instances: [],
  custom: [],
  isRewinding: false,
  lives: [],
};

/** A port that somebody tried in vain to open, and tries again. */
export const shutPortSchema = z.object({
  /** Of the endpoint. */
  id: z.string(),
  port: z.number(),
  /** Another process has it. */
  isTaken: z.boolean(),
  why: z.string(),
});
export type ShutPort = z.infer<typeof shutPortSchema>;

/** What a proxy says of its endpoints, at each change. */
export const listeningSchema = z.object({
  /** Where it listens, by id. */
  open: z.array(z.string()),
  shut: z.array(shutPortSchema),
});
export type Listening = z.infer<typeof listeningSchema>;

/** Whether the cluster does what it is there for, in short. */
export const healthSchema = z.object({
  isWritable: z.boolean(),
  state: z.string(),
  writer: z.string().nullable(),
  /** Every endpoint is open, and the status page. */
  isListening: z.boolean(),
  shut: z.array(shutPortSchema),
});
export type Health = z.infer<typeof healthSchema>;

export const processSchema = z.object({
  name: z.string(),
  pid: z.number().nullable(),
  state: z.enum(["running", "restarting", "stopped"]),
  restarts: z.number(),
  /** Storage nodes: what was in the folder when the process was last started, or not started. */
  disk: z.enum(diskVerdicts).optional(),
});
export type ProcessReport = z.infer<typeof processSchema>;
export const processesSchema = z.array(processSchema);

/** Where the replacement of a storage node stands. */
export const replacementSchema = z.object({
  id: z.string(),
  /** The member of that name now. */
  nodeId: z.string(),
  /** Its successor, once it is chosen. */
  next: z.string().nullable(),
  why: z.string().nullable(),
  /**
   * `queued`: another one is under way. `waiting`: for a writer that is open. `joining`: until the
   * group counts by it. `filling`: until it has caught up. `copying`: a full one, until it has all snapshots.
   */
  phase: z.enum(["none", "queued", "waiting", "making", "joining", "filling", "copying"]),
});
export type ReplacementReport = z.infer<typeof replacementSchema>;

/** Log to be kept for a clone: up to the last record end at or below `to`; null: up to VDL. */
export const pinCloneSchema = z.object({
  pinId: z.uuid(),
  to: z.string().nullable(),
  dataDir: z.string(),
  createdAt: z.string(),
});
export type PinCloneOrder = z.infer<typeof pinCloneSchema>;

/** A write quorum keeps the log [from, to) for it. */
export const pinnedCloneSchema = z.object({ pinId: z.string(), from: z.string(), to: z.string() });
export type PinnedClone = z.infer<typeof pinnedCloneSchema>;

export const cloneReportSchema = z.object({
  pinId: z.string(),
  /** Null: nodes keep log for it, and nobody knows who it is. */
  dataDir: z.string().nullable(),
  /** Where it branches off; null: it is only being made. */
  lsn: z.string().nullable(),
  createdAt: z.string().nullable(),
});
export type CloneReport = z.infer<typeof cloneReportSchema>;

/** The volume's data keys, as `keys list` shows them. */
export const keyReportSchema = z.object({
  /** Where master keys are: the key file's path. */
  provider: z.string(),
  current: z.number(),
  keys: z.array(z.object({ id: z.number(), createdAt: z.string(), isCurrent: z.boolean() })),
});
export type KeyReport = z.infer<typeof keyReportSchema>;

/** What a rotation did: `waiting` nodes do not run now, and are given the key when they start. */
export const rotationSchema = z.object({
  current: z.number(),
  switched: z.array(z.string()),
  waiting: z.array(z.string()),
});
export type Rotation = z.infer<typeof rotationSchema>;

export const controlConfigSchema = z.object({
  dataDir: z.string(),
  runtimeDir: z.string(),
  supervisorPid: z.number(),
  host: z.string(),
  port: z.number(),
  httpPort: z.number(),
  /** Where storage nodes listen on TCP; the others are on unix sockets. */
  nodePorts: z.record(z.string(), z.tuple([z.number(), z.number()])),
  credential: z.object({ ca: z.string(), cert: z.string(), key: z.string() }).nullable(),
  logLevel: z.string(),
  logMaxBytes: z.number(),
  /** For how long a future that a backtrack left can be returned to. */
  backtrackWindowMs: z.number(),
  /** How long the writer may be silent before another instance takes over. */
  detectionMs: z.number(),
  /** A reader that is further behind gets no new sessions at endpoints of several. */
  lagMaxMs: z.number(),
  /** Between two rounds of readers that read ahead what the writer works with; 0: they do not. */
  warmEveryMs: z.number(),
  /** Whether agents are told what SQL shows of the cluster. */
  hasSurface: z.boolean(),
});
export type ControlConfig = z.infer<typeof controlConfigSchema>;

/** Whom a request is about. */
export const namedSchema = z.object({ id: z.string() });

/** `instance modify`. */
export const modifyInstanceSchema = z.object({ id: z.string(), tier: z.number() });

/** `instance add`; null: chosen. */
export const addInstanceSchema = z.object({
  id: z.string().nullable(),
  az: z.string().nullable(),
  tier: z.number().nullable(),
});

/** `endpoint create` and `modify`; null: not said. */
export const endpointWishSchema = z.object({
  id: z.string(),
  type: z.enum(["reader", "any"]).nullable(),
  list: z
    .object({ kind: z.enum(["static", "exclude"]), instances: z.array(z.string()) })
    .nullable(),
});

/** Instances that are on their way out, as control plane and supervisor tell. */
export const leavingSchema = z.object({ leaving: z.array(z.string()) });

export const failoverRequestSchema = z.object({ target: z.string().nullable() });

/** What a failover came to. */
export const failoverSchema = z.object({
  writer: z.string(),
  /** Null: nobody wrote when it began. */
  previous: z.string().nullable(),
  /** From the moment when no new session was let in at the old writer until the new one took writes. */
  heldMs: z.number(),
  epoch: z.number(),
  timeline: z.number(),
});
export type FailoverReport = z.infer<typeof failoverSchema>;

/** Microseconds since 1970 travel as text: they are more than a number holds exactly. */
const microsText = z.string().regex(/^-?\d{1,18}$/);

export const backtrackRequestSchema = z.object({
  to: z.discriminatedUnion("kind", [
    z.object({ kind: z.literal("time"), timeUs: microsText }),
    z.object({ kind: z.literal("lsn"), at: z.string() }),
  ]),
  isDryRun: z.boolean(),
});
export type BacktrackRequest = z.infer<typeof backtrackRequestSchema>;

/** A backtrack that is planned, or done. Times are ISO 8601 with microseconds. */
export const backtrackReportSchema = z.object({
  /** The moment: a record end, and the last commit before it. */
  to: z.object({ lsn: z.string(), lastCommit: z.string() }),
  /** It lies in a future that an earlier backtrack left. */
  isReturn: z.boolean(),
  /** What the present path has behind the moment. */
  undone: z.object({
    /** Null: they are not counted. */
    transactions: z.number().nullable(),
    from: z.string().nullable(),
    to: z.string().nullable(),
  }),
  /** Moments that can be gone back to. */
  window: z.object({ from: z.string(), to: z.string() }),
  /** What came of it; null: nothing was done (--dry-run). */
  done: z
    .object({
      writer: z.string(),
      epoch: z.number(),
      timeline: z.number(),
      /** How long nobody could write; null: the control plane was restarted meanwhile. */
      heldMs: z.number().nullable(),
      /** `backtrack --to` this LSN, or a time in it, returns to what was left. */
      abandonedEnd: z.string(),
      returnableUntil: z.string(),
    })
    .nullable(),
});
export type BacktrackReport = z.infer<typeof backtrackReportSchema>;

/** Where a backtrack stands. */
export const backtrackProgressSchema = z.object({
  phase: z.enum(["none", "planning", "staging", "holding", "counting", "done", "failed"]),
  doneBytes: z.number(),
  totalBytes: z.number(),
  report: backtrackReportSchema.nullable(),
  error: z
    .object({ code: z.string(), message: z.string(), hint: z.string().nullable() })
    .nullable(),
});
export type BacktrackProgress = z.infer<typeof backtrackProgressSchema>;

export const clusterStates = [
  "creating",
  "available",
  "failing-over",
  "backtracking",
  "stopping",
  "stopped",
  "degraded",
] as const;

export const statusSchema = z.object({
  cluster: z.object({
    id: z.string(),
    state: z.enum(clusterStates),
    engineVersion: z.string(),
    epoch: z.number(),
    timeline: z.number(),
    vdl: z.string().nullable(),
    writer: z.string().nullable(),
    dataDir: z.string(),
    supervisorPid: z.number().nullable(),
  }),
  endpoints: z.array(
    z.object({
      id: z.string(),
      type: z.enum(["writer", "reader", "instance", "custom"]),
      host: z.string(),
      port: z.number(),
      /** To whom new sessions go now. */
      members: z.array(z.string()),
      /** Of a custom endpoint; one list at most is not null. */
      custom: z
        .object({
          type: z.enum(["reader", "any"]),
          static: z.array(z.string()).nullable(),
          excluded: z.array(z.string()).nullable(),
        })
        .optional(),
    }),
  ),
  instances: z.array(
    z.object({
      id: z.string(),
      role: z.enum(["writer", "reader"]),
      az: z.string(),
      tier: z.number(),
      state: instanceStatusSchema.shape.state,
      agentPid: z.number().nullable(),
      postgresPid: z.number().nullable(),
      replayLsn: z.string().nullable(),
      lagMs: z.number().nullable(),
      port: z.number(),
      /** Its cache is being built; null: it is not. */
      building: instanceStatusSchema.shape.building,
      problem: z.string().nullable(),
    }),
  ),
  storage: z.array(
    z.object({
      id: z.string(),
      az: z.string(),
      kind: z.enum(["full", "tail"]),
      /** Of the node that has the name now; a replaced one has another. */
      nodeId: z.string(),
      state: z.enum(["up", "down", "stopped", "catching-up", "rebuilding"]),
      pid: z.number().nullable(),
      scl: z.string().nullable(),
      /** Where its log begins. */
      base: z.string().nullable(),
      epoch: z.number().nullable(),
      bytes: z.number().nullable(),
      /** What the node says of itself: `full` takes no log, `damaged` repairs itself first. */
      health: z.enum(["ok", "full", "damaged", "failed"]).nullable(),
    }),
  ),
  volume: z.object({
    /** One copy of the volume: log and extents. */
    bytes: z.number(),
    /** Log that is kept, for clones too. */
    logBytes: z.number(),
    /** Of all snapshots together, as they are stored; null: not counted yet. */
    extentBytes: z.number().nullable(),
    /** What of `bytes` is a clone's too, or the parent's. */
    sharedBytes: z.number(),
    logStart: z.string().nullable(),
    snapshots: z.number(),
    /** What a scrub found good in no store, and which snapshots are hurt by it; null: nothing, as far as is known. */
    damage: z.string().nullable(),
    earliestRestorableTime: z.string().nullable(),
    latestRestorableTime: z.string().nullable(),
    /** Of the log in the object store; null: nobody archives, or nobody says. */
    archive: z
      .object({
        archivedLsn: z.string().nullable(),
        lagBytes: z.number().nullable(),
        problem: z.string().nullable(),
      })
      .nullable(),
  }),
});
export type StatusReport = z.infer<typeof statusSchema>;
