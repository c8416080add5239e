import { z } from "zod";
import { backtrackOrderSchema, pathSchema } from "../instance/index.ts";

/** What the control plane keeps on disk (control/state.json): who is who. Never what is durable: nodes know that. */
export const clusterStateFormat = 1;

const instanceState = z.strictObject({
  id: z.string(),
  ordinal: z.number().int(),
  az: z.string(),
  tier: z.number().int(),
});

/** One place of the protection group: its name stays, the node in it may be replaced. */
const nodeState = z.strictObject({
  id: z.string(),
  /** The member: the last one that is known to have counted alone. */
  nodeId: z.string(),
  az: z.string(),
  kind: z.enum(["full", "tail"]),
  /** Which of the name's two ports is the member's; its successor has the other. 0 unless told. */
  side: z.union([z.literal(0), z.literal(1)]).optional(),
  /** It has become the member a moment ago; whether it has caught up is not known yet. */
  isFilling: z.boolean().optional(),
  /** Asked for, or found necessary; kept until it is done. */
  replaceWhy: z.string().optional(),
  /**
   * Who is to take its place. Written before anything of it exists; `isMade` once its disk is formatted and before it
   * first runs: from then on an empty disk is a lost one, and needs another id.
   */
  next: z.strictObject({ nodeId: z.string(), isMade: z.boolean() }).optional(),
});

/** `static`: exactly these instances; `exclude`: all but these, also who comes later. */
const instanceList = z.strictObject({
  kind: z.enum(["static", "exclude"]),
  instances: z.array(z.string()),
});

/** An endpoint that a user made, over instances of their choice. */
const customEndpoint = z.strictObject({
  id: z.string(),
  /** Gives its port. */
  ordinal: z.number().int(),
  /** Who of its list is eligible: readers, or whatever role it has. */
  type: z.enum(["reader", "any"]),
  list: instanceList,
});

/** From where an endpoint takes connections; stretches of addresses, like 10.0.0.0/8. Those without one: as access.allow says. */
const accessList = z.strictObject({ endpoint: z.string(), allow: z.array(z.string()) });

/** What users have set, by scope; names in lower case, values as postgresql.auto.conf has them. */
const parametersState = z.strictObject({
  /** Grows with each change. */
  version: z.number().int(),
  cluster: z.record(z.string(), z.string()),
  instances: z.record(z.string(), z.record(z.string(), z.string())),
});

/** A clone of this volume, which keeps its log (quorum-protocol.md 13). */
const cloneState = z.strictObject({
  /** Of its pin; also the clone's volume id. */
  pinId: z.string(),
  dataDir: z.string(),
  createdAt: z.string(),
  /** Where it branches off; null: it is only being made. */
  lsn: z.string().nullable(),
  /** It needs nothing any more: should some node still know of its pin, that goes. */
  isReleased: z.boolean().optional(),
});

/** A backtrack that was begun: whoever writes next carries it out. Written before anybody is ordered to. */
const backtrackState = z.strictObject({
  order: backtrackOrderSchema,
  /** The path that is left, and how far it was durable when the backtrack was planned. */
  left: pathSchema,
  leftEnd: z.string(),
  /** When the moment's last commit was made, microseconds since 1970. */
  lastCommitUs: z.string(),
  /** When it was asked for, milliseconds since 1970: names it. */
  askedAtMs: z.number(),
  /** Of a return: when the future was left that it goes to, which names that; and when its next commit was made, as above. */
  returnsTo: z.number().optional(),
  nextUs: z.string().optional(),
});

/** What is remembered of a future that was left, as long as anybody may ask for a moment in it. */
const leftFacts = {
  /** Where the volume's path leaves this one. */
  fork: z.string(),
  end: z.string(),
  /** When it was left, milliseconds since 1970. */
  leftAtMs: z.number(),
  /** When its first commit behind the fork was made, microseconds since 1970. Absent: not known. */
  firstUs: z.string().optional(),
  /** It was left for another future, of which the volume's path has all up to there again. */
  returned: z
    .strictObject({
      leftAtMs: z.number(),
      to: z.string(),
      /** When that future's next commit was made behind `to`, at the earliest. Absent: not known. */
      nextUs: z.string().optional(),
    })
    .optional(),
};

/** A future that a backtrack left: its log is kept aside for the backtrack window. */
const abandonedState = z.strictObject({
  path: pathSchema,
  ...leftFacts,
});

/** One whose window is over. Nothing of it is kept but where it was: who asks for it must not be given something else. */
const expiredState = z.strictObject({
  ...leftFacts,
  /** Until when it could be returned to, milliseconds since 1970. */
  untilMs: z.number(),
  /** It stands for so many: volume's LeftFuture. */
  merged: z.number().int().optional(),
  /** It was left before this clone was made, by a cluster that it descends from, and only that could return to it. */
  isParents: z.literal(true).optional(),
});

/** One PostgreSQL's life as the writer (session's WriterLife); xids are more than a number of JSON holds exactly. */
export const writerLifeSchema = z.object({
  incarnation: z.string(),
  epoch: z.number().int(),
  cutoff: z.string().regex(/^\d{1,20}$/),
  postmaster: z.string(),
});
export type LifeRecord = z.infer<typeof writerLifeSchema>;

const clusterStateSchema = z.strictObject({
  format: z.number().int(),
  clusterId: z.string(),
  volumeId: z.string(),
  createdAt: z.string(),
  engineVersion: z.string(),
  systemIdentifier: z.string(),
  /** Start of the WAL segment that holds initdb's checkpoint (D1). */
  genesisLsn: z.string(),
  masterUser: z.string(),
  isSuperuser: z.boolean(),
  /** Decided at creation. A volume that is older than encryption has none. */
  encryption: z.enum(["on", "off"]).default("off"),
  /** False until the bootstrap SQL of the first start has been committed to the volume. */
  isBootstrapped: z.boolean(),
  writer: z.string(),
  instances: z.array(instanceState),
  /** Removed ones, until nothing of them runs or lies on the disk: their names and ports are not free yet. */
  leaving: z.array(instanceState).optional(),
  /** How many readers it was created with, once instances have been added or removed. */
  readersAtBirth: z.number().int().optional(),
  nodes: z.array(nodeState),
  /** Custom ones, in the order of their ports. */
  endpoints: z.array(customEndpoint).optional(),
  access: z.array(accessList).optional(),
  parameters: parametersState.optional(),
  clones: z.array(cloneState).optional(),
  /** A clone's oldest ancestor: without encryption, extents are named after it, and so shared. */
  ancestorVolumeId: z.string().optional(),
  /** When a clone's oldest ancestor was created: its log may begin there. */
  bornAt: z.string().optional(),
  /** Where a clone branched off from its parent. One that is older than this field does not know. */
  branchLsn: z.string().optional(),
  backtrack: backtrackState.optional(),
  abandoned: z.array(abandonedState).optional(),
  /** A bounded number: many of the oldest are one. */
  expired: z.array(expiredState).optional(),
  /** The epoch in which the last backtrack was done: caches that know no newer one may have followed another path. */
  backtrackEpoch: z.number().int().optional(),
  /** Who has been the writer lately, and from which transaction id on; the newest is written before it takes sessions. */
  lives: z.array(writerLifeSchema).optional(),
});

export type BacktrackState = z.infer<typeof backtrackState>;
export type AbandonedFuture = z.infer<typeof abandonedState>;
export type ExpiredFuture = z.infer<typeof expiredState>;
export type ClusterState = z.infer<typeof clusterStateSchema>;
export type InstanceState = z.infer<typeof instanceState>;
export type CustomEndpoint = z.infer<typeof customEndpoint>;
export type InstanceList = z.infer<typeof instanceList>;
export type NodeState = z.infer<typeof nodeState>;
export type ParametersState = z.infer<typeof parametersState>;
export type CloneState = z.infer<typeof cloneState>;

export type ParsedState =
  | { readonly kind: "state"; readonly state: ClusterState }
  | { readonly kind: "newer"; readonly format: number }
  | { readonly kind: "damaged"; readonly why: string };

/** Parses control/state.json; a file of a newer Borealis is told apart from a damaged one. */
export function parseClusterState(text: string): ParsedState {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { kind: "damaged", why: "it is not JSON" };
  }
  const format = z.looseObject({ format: z.number() }).safeParse(value);
  if (!format.success) return { kind: "damaged", why: "it has no format number" };
  if (format.data.format > clusterStateFormat) return { kind: "newer", format: format.data.format };
  const state = clusterStateSchema.safeParse(value);
  if (!state.success) return { kind: "damaged", why: z.prettifyError(state.error) };
  return { kind: "state", state: state.data };
}
