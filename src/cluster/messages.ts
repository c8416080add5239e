import { z } from "zod";
import { writerLifeSchema } from "./state.ts";

/** What the control plane says to proxies and the command line, and what it is told. LSNs travel as text. */

/** A port that proxies listen on. */
export const endpointPlaceSchema = z.object({
  id: z.string(),
  type: z.enum(["writer", "reader", "instance", "custom"]),
  port: z.number(),
  /** From where it takes connections; absent: as access.allow says. */
  allow: z.array(z.string()).readonly().optional(),
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
      /** A writer that hands over, or is to be started again. */
      isLeaving: z.boolean().default(false),
      /** A reader that answers nothing: who is there goes elsewhere. It may come back as it is. */
      isSilent: z.boolean().default(false),
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
  /** Whose agents answer nothing, so that no more is known of them: who is there goes elsewhere. */
  unheard: z.array(z.string()).default([]),
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
  unheard: [],
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
  /** Further addresses at which it listens. */
  loopback: z.array(z.string()).default([]),
});
export type Listening = z.infer<typeof listeningSchema>;

/**
 * Instances on which a proxy begins nothing more, as the topology that it has taken says, and what still runs there for its
 * sessions: statements by themselves, and in transaction blocks. At each change.
 */
export const holdingSchema = z.array(
  z.object({
    id: z.string(),
    incarnation: z.string(),
    statements: z.number(),
    blocks: z.number(),
  }),
);
export type Holding = z.infer<typeof holdingSchema>;
export type Remaining = Pick<Holding[number], "statements" | "blocks">;

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
  /** How long the writer may be silent before another instance takes over, and a reader before its sessions go on elsewhere. */
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

/** `access set` and `reset`; null: as access.allow says. */
export const accessWishSchema = z.object({
  endpoint: z.string(),
  allow: z.array(z.string()).nullable(),
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

/** How a scrub that was asked for gets on, as events "progress" tell who asked. */
export const scrubStepSchema = z.object({
  step: z.string(),
  doneBytes: z.number(),
  /** Null: nobody knows yet. */
  totalBytes: z.number().nullable(),
});
export type ScrubStep = z.infer<typeof scrubStepSchema>;
