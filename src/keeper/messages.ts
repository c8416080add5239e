import { z } from "zod";
import { volumeNodesSchema } from "../instance/index.ts";

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
  durable: z.object({ epoch: z.number().int(), vdl: z.string() }).nullable(),
});
export type World = z.infer<typeof worldSchema>;

/** How the keeper is; told when it changes. */
export const keeperReportSchema = z.object({
  /** For people: `the folder …`, `s3://…`. */
  objectStore: z.string(),
  /** Why something of it does not go on now; null: all is well. */
  problem: z.string().nullable(),
});
export type KeeperReport = z.infer<typeof keeperReportSchema>;

export const keeperConfigSchema = z.object({
  az: z.string(),
  volumeId: z.string(),
  systemIdentifier: z.string(),
  genesisLsn: z.string(),
  genesisDir: z.string(),
  postgresMajor: z.number().int(),
  socket: z.string(),
  objectStoreUrl: z.string(),
  /** As keys/ writes them; null: the volume is not encrypted. */
  dataKeys: z.unknown(),
  credential: z.object({ ca: z.string(), cert: z.string(), key: z.string() }).nullable(),
  logFile: z.string(),
  logLevel: z.string(),
  logMaxBytes: z.number(),
});
export type KeeperConfig = z.infer<typeof keeperConfigSchema>;
