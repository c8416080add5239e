import { z } from "zod";

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
  endpoints: z.array(
    z.object({ id: z.string(), type: z.enum(["writer", "reader", "instance"]), port: z.number() }),
  ),
});
export type ProxyConfig = z.infer<typeof proxyConfigSchema>;
