import { z } from "zod";
import { instanceStatusSchema } from "../instance/index.ts";

/** What the control plane says of the cluster to who asks for its status. LSNs travel as text. */

const clusterStates = [
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
      /** A further address, where it answers at the writer's port; null: it does not. */
      loopback: z.string().nullable().default(null),
      /** To whom new sessions go now. */
      members: z.array(z.string()),
      /** From where it takes connections; null: as access.allow says. */
      allow: z.array(z.string()).nullable().default(null),
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
      /** An injected fault, while it lasts. */
      fault: z.string().optional(),
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
      /** Injected faults, while they last. */
      fault: z.string().optional(),
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
    /** Why the object store cannot be used, or snapshots do not go on; null: all is well, or `archive.problem` says it. */
    problem: z.string().nullable(),
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
