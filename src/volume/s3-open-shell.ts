import { BorealisError, sqlState } from "../base/errors.ts";
import type { Rng } from "../base/rng.ts";
import { type Clock, type Disk, openHttpClient } from "../io/index.ts";
import { S3Client } from "./s3-client-shell.ts";
import {
  type AwsProfile,
  credentialsFromEnv,
  credentialsFromProfile,
  readAwsProfile,
  type S3Credentials,
} from "./s3-credentials.ts";
import {
  type Env,
  parseS3Url,
  type S3Defaults,
  type S3Place,
  s3PlaceOf,
  s3ProfileOf,
} from "./s3-location.ts";
import { S3Store } from "./s3-store-shell.ts";

export interface S3OpenOptions {
  /** `s3://bucket/prefix?…`, as s3-location.ts reads it. */
  readonly url: string;
  /** The process's environment: keys, region, endpoint, HOME. */
  readonly env: Env;
  readonly disk: Disk;
  readonly clock: Clock;
  readonly rng: Rng;
  /** For tests; the defaults are for services near and far. */
  readonly limits?: Partial<S3Limits>;
}

export interface S3Limits {
  readonly partBytes: number;
  readonly callsMax: number;
  readonly connectTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly retryMs: number;
}

const mebi = 1024 ** 2;
const defaults: S3Limits = {
  partBytes: 16 * mebi,
  callsMax: 16,
  connectTimeoutMs: 10_000,
  idleTimeoutMs: 30_000,
  retryMs: 60_000,
};
const answerBytesMax = 2048 * mebi;
/** Temporary keys in a file are renewed by whoever wrote it; it is looked at again after this. */
const keysKeptMs = 60_000;

/**
 * A store in a bucket that is there. Nothing is asked of the service yet. Keys are those of the environment, or else of a
 * profile in `~/.aws/credentials` (`profile=` in the URL, AWS_PROFILE, `default`). Raises 22023 for a URL that is none, and
 * 58030 if there are no keys.
 */
export async function openS3Store(options: S3OpenOptions): Promise<S3Store> {
  const { url, env, clock, rng } = options;
  const limits = { ...defaults, ...options.limits };
  const asked = s3ProfileOf(url);
  const name = profileNameOf(options);
  const location = parseS3Url(url, env, await readDefaults(options));
  const read = async (): Promise<S3Credentials> => {
    const fromEnv = asked === undefined ? credentialsFromEnv(env) : undefined;
    const found = fromEnv ?? credentialsFromProfile(name, await readProfile(options, name));
    if (found) return found;
    throw noKeys(url, name, asked !== undefined);
  };
  let keys = { at: clock.nowMs(), credentials: await read() };
  const credentials = async (): Promise<S3Credentials> => {
    if (clock.nowMs() - keys.at > keysKeptMs)
      keys = { at: clock.nowMs(), credentials: await read() };
    return keys.credentials;
  };
  const http = openHttpClient({ ...limits, answerBytesMax, socketsMax: limits.callsMax });
  const client = new S3Client({
    location,
    http,
    clock,
    rng,
    credentials,
    retryMs: limits.retryMs,
  });
  return new S3Store({ location, client, ...limits });
}

/** Where such a store would be; whether it is there, and has keys, does not matter. Raises 22023 for a URL that is none. */
export async function locateS3Store(where: S3Where): Promise<S3Place> {
  return s3PlaceOf(where.url, where.env, await readDefaults(where));
}

type S3Where = Pick<S3OpenOptions, "url" | "env" | "disk">;

function profileNameOf({ url, env }: S3Where): string {
  return s3ProfileOf(url) ?? (env["AWS_PROFILE"] || "default");
}

async function readDefaults(where: S3Where): Promise<S3Defaults> {
  const profile = await readProfile(where, profileNameOf(where));
  return { region: profile.get("region"), endpoint: profile.get("endpoint_url") };
}

async function readProfile({ env, disk }: S3Where, name: string): Promise<AwsProfile> {
  const home = env["HOME"] ?? env["USERPROFILE"] ?? "";
  const read = async (path: string): Promise<string> =>
    (await disk.readWhole(path))?.toString("utf8") ?? "";
  return readAwsProfile(
    name,
    await read(env["AWS_CONFIG_FILE"] || `${home}/.aws/config`),
    await read(env["AWS_SHARED_CREDENTIALS_FILE"] || `${home}/.aws/credentials`),
  );
}

function noKeys(url: string, profile: string, isAsked: boolean): BorealisError {
  const where = isAsked
    ? `profile ${profile} of ~/.aws/credentials has none`
    : `neither the environment nor profile ${profile} of ~/.aws/credentials has any`;
  return new BorealisError(sqlState.ioError, `no keys for ${url}: ${where}`, {
    hint: "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile that has them (profile=NAME)",
  });
}
