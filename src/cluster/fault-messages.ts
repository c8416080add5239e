import { z } from "zod";

/** Injected faults of a storage node; counts are of its process. */
export const nodeFaultsSchema = z.object({
  active: z.array(
    z.object({
      kind: z.enum(["failure", "congestion"]),
      percent: z.number(),
      delayMinMs: z.number(),
      delayMaxMs: z.number(),
      untilMs: z.number(),
    }),
  ),
  refused: z.number(),
  delayed: z.number(),
});
export type NodeFaults = z.infer<typeof nodeFaultsSchema>;

/** Which nodes have taken a fault, and until when; or why not. */
export const nodesInjectedSchema = z.array(
  z.object({ id: z.string(), untilMs: z.number().nullable(), why: z.string().nullable() }),
);
export type InjectedNodes = z.infer<typeof nodesInjectedSchema>;
