import { z } from "zod";
import { isLoopback } from "../base/address.ts";
import { BorealisError, sqlState } from "../base/errors.ts";

/** `borealis up`, as given on the command line. */
export const upOptionsSchema = z.object({
  dataDir: z.string(),
  port: z.coerce.number().int().min(1).max(62_535).default(5432),
  httpPort: z.coerce.number().int().min(1).max(65_535).optional(),
  host: z.string().default("127.0.0.1"),
  readers: z.coerce.number().int().min(0).max(15).default(2),
  user: z.string().default("postgres"),
  password: z.string().optional(),
  postgresBin: z.string().optional(),
  objectStore: z.string().min(1).optional(),
  superuser: z.boolean().default(true),
  tls: z.enum(["off", "prefer", "require"]).default("prefer"),
  tlsCert: z.string().optional(),
  tlsKey: z.string().optional(),
  set: z.array(z.string()).default([]),
  detach: z.boolean().default(false),
  json: z.boolean().default(false),
  /** Names of the options that were given, and are not just defaults. */
  given: z.array(z.string()).default([]),
});
export type UpOptions = z.infer<typeof upOptionsSchema>;

const flagOf: Readonly<Record<string, string>> = {
  port: "--port",
  httpPort: "--http-port",
  objectStore: "--object-store",
  readers: "--readers",
  tls: "--tls",
};

/** Raises BorealisError 22023 naming the option and what it takes. */
export function parseUpOptions(given: unknown): UpOptions {
  const parsed = upOptionsSchema.safeParse(given);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const key = String(issue?.path[0] ?? "");
    const why = `${flagOf[key] ?? `--${key}`}: ${issue?.message ?? "cannot be used"}`;
    throw new BorealisError(sqlState.invalidParameter, why, { hint: "borealis up --help" });
  }
  const options = parsed.data;
  if ((options.tlsCert === undefined) !== (options.tlsKey === undefined)) {
    throw new BorealisError(sqlState.invalidParameter, "--tls-cert and --tls-key go together", {
      hint: "give both, or neither for a self-signed certificate",
    });
  }
  requireSafeExposure(options);
  return options;
}

/** contract.md: anything but loopback requires TLS and a password that the user set. */
function requireSafeExposure(options: UpOptions): void {
  if (isLoopback(options.host)) return;
  if (options.tls !== "require") {
    throw new BorealisError(
      sqlState.invalidParameter,
      `--host ${options.host} is reachable from other machines, so TLS must be required`,
      { hint: "add --tls require" },
    );
  }
  if (options.password === undefined) {
    throw new BorealisError(
      sqlState.invalidParameter,
      `--host ${options.host} is reachable from other machines, so it needs a password of your own`,
      { hint: "give --password, or BOREALIS_PASSWORD" },
    );
  }
}
