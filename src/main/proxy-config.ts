import { z } from "zod";
import { endpointPlaceSchema } from "../cluster/index.ts";

/** What the supervisor hands to the proxy process. */
export const proxyConfigSchema = z.object({
  host: z.string(),
  controlSocket: z.string(),
  logFile: z.string(),
  logLevel: z.string(),
  logMaxBytes: z.number(),
  tls: z.object({ key: z.string(), cert: z.string(), isRequired: z.boolean() }).nullable(),
  gate: z.object({ mode: z.enum(["lease", "round", "off"]), leaseMs: z.number() }),
  holdTimeoutMs: z.number(),
  unauthenticatedMax: z.number(),
  authenticationTimeoutMs: z.number(),
  pooling: z.object({
    mode: z.enum(["off", "auto"]),
    endpoints: z.array(z.string()),
    maxConnectionsPercent: z.number(),
    borrowTimeoutMs: z.number(),
    idleTimeoutMs: z.number(),
  }),
  /** Who may see the cluster as tables. */
  masterUser: z.string(),
  /** PostgreSQL's, for clients of those that ask. */
  engineVersion: z.string(),
  /** As the cluster was when the proxy started; the control plane tells of others. */
  endpoints: z.array(endpointPlaceSchema),
});
export type ProxyConfig = z.infer<typeof proxyConfigSchema>;
