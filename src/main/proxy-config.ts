import { z } from "zod";
import { endpointPlaceSchema } from "../cluster/index.ts";

/** What the supervisor hands to the proxy process. */
export const proxyConfigSchema = z.object({
  host: z.string(),
  dataDir: z.string(),
  runtimeDir: z.string(),
  logFile: z.string(),
  logLevel: z.string(),
  logMaxBytes: z.number(),
  tls: z.object({ key: z.string(), cert: z.string(), isRequired: z.boolean() }).nullable(),
  gate: z.object({ mode: z.enum(["lease", "round", "off"]), leaseMs: z.number() }),
  holdTimeoutMs: z.number(),
  replayMaxBytes: z.number(),
  unauthenticatedMax: z.number(),
  unauthenticatedPerAddressMax: z.number(),
  connectionsPerSecond: z.number(),
  connectionsBurst: z.number(),
  failuresMax: z.number(),
  failureDelayMs: z.number(),
  authenticationTimeoutMs: z.number(),
  pooling: z.object({
    mode: z.enum(["off", "auto"]),
    endpoints: z.array(z.string()),
    maxConnectionsPercent: z.number(),
    borrowTimeoutMs: z.number(),
    idleTimeoutMs: z.number(),
  }),
  /** From where endpoints without a list of their own take connections; empty: from everywhere. */
  allow: z.array(z.string()),
  /** Null: none. */
  audit: z
    .object({
      file: z.string(),
      maxBytes: z.number(),
      filesMax: z.number(),
      statements: z.enum(["none", "ddl", "all"]),
    })
    .nullable(),
  /** Null: nobody logs in by tokens. */
  iam: z
    .object({
      usersFile: z.string(),
      region: z.string(),
      hosts: z.array(z.string()),
      /** Whether clients are told why they were refused. */
      tellsWhy: z.boolean(),
    })
    .nullable(),
  /** Who may see the cluster as tables. */
  masterUser: z.string(),
  /** PostgreSQL's, for clients of those that ask. */
  engineVersion: z.string(),
  postgresMajor: z.number().int(),
  /** As the cluster was when the proxy started; the control plane tells of others. */
  endpoints: z.array(endpointPlaceSchema),
  /** Endpoints answer at this port of loopback addresses of their own, too; null: they do not. */
  loopbackPort: z.number().nullable(),
});
export type ProxyConfig = z.infer<typeof proxyConfigSchema>;
