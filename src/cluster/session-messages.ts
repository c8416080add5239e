import { z } from "zod";
import { durationsSchema } from "../instance/index.ts";
import {
  keptKinds,
  outcomeNames,
  refusedReasons,
  type SessionFigures,
  sessionStates,
} from "../session/index.ts";

/** What a proxy says of its sessions, once a second at most: figures of session-counters.ts. */

const count = z.number().int().min(0);

export const sessionFiguresSchema = z.object({
  sessions: z.array(z.object({ endpoint: z.string(), state: z.enum(sessionStates), count })),
  unauthenticated: count,
  connections: z.record(z.string(), count),
  loginsRefused: count,
  connectionsRefused: z.partialRecord(z.enum(refusedReasons), count).default({}),
  loginsSlowed: count.default(0),
  auditLost: count.default(0),
  outcomes: z.record(z.enum(outcomeNames), count),
  errors: z.record(z.string(), count),
  held: count,
  holds: durationsSchema,
  commits: z.object({ server: durationsSchema, gate: durationsSchema }),
  pool: z.object({
    instances: z.array(
      z.object({ instance: z.string(), open: count, free: count, waiting: count }),
    ),
    waits: durationsSchema,
    timeouts: count,
    opened: count,
    kept: z.partialRecord(z.enum(keptKinds), count),
  }),
}) satisfies z.ZodType<SessionFigures>;
