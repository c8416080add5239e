import { z } from "zod";
import { nodeFaultsSchema } from "./fault-messages.ts";
import { diskVerdicts } from "./replacement.ts";

/** What the supervisor tells of a process. */
export const processSchema = z.object({
  name: z.string(),
  pid: z.number().nullable(),
  state: z.enum(["running", "restarting", "stopped"]),
  restarts: z.number(),
  /** Storage nodes: what was in the folder when the process was last started, or not started. */
  disk: z.enum(diskVerdicts).optional(),
  /** Storage nodes that were ever asked for any. */
  faults: nodeFaultsSchema.optional(),
});
export type ProcessReport = z.infer<typeof processSchema>;
export const processesSchema = z.array(processSchema);

/** An agent that hangs: its instance, and the process that was seen to. */
export const killAgentSchema = z.object({ id: z.string(), pid: z.number().int() });
export type KillAgent = z.infer<typeof killAgentSchema>;
