/** What signs requests to an S3 service. */
export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
  /** Where they are from, for error texts: `AWS_ACCESS_KEY_ID`, `profile default`. */
  readonly source: string;
}

/** One profile's settings by their names; what both files say, `credentials` says last. */
export type AwsProfile = ReadonlyMap<string, string>;

type Env = Readonly<Record<string, string | undefined>>;

/** Undefined: the environment has none. */
export function credentialsFromEnv(env: Env): S3Credentials | undefined {
  return credentials(
    "AWS_ACCESS_KEY_ID",
    env["AWS_ACCESS_KEY_ID"],
    env["AWS_SECRET_ACCESS_KEY"],
    env["AWS_SESSION_TOKEN"],
  );
}

/** Undefined: the profile has no keys of its own. */
export function credentialsFromProfile(
  name: string,
  profile: AwsProfile,
): S3Credentials | undefined {
  return credentials(
    `profile ${name}`,
    profile.get("aws_access_key_id"),
    profile.get("aws_secret_access_key"),
    profile.get("aws_session_token"),
  );
}

/**
 * One profile out of the texts of `~/.aws/credentials` (`[name]`) and `~/.aws/config` (`[profile name]`, `[default]`), by the
 * rules of AWS's SDKs and Tools Reference Guide, "Format of the config file": comments begin a line, indented lines are
 * nested settings, which say nothing to us.
 */
export function readAwsProfile(name: string, config: string, credentialsText: string): AwsProfile {
  const found = new Map<string, string>();
  const inConfig = name === "default" ? ["default", "profile default"] : [`profile ${name}`];
  for (const [text, titles] of [
    [config, inConfig],
    [credentialsText, [name]],
  ] as const) {
    let isOurs = false;
    for (const line of text.split(/\r?\n/)) {
      const title = /^\[\s*([^\]]*?)\s*\]/.exec(line)?.[1];
      const [, key, value] = /^([^\s=#;[][^=]*?)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
      if (title !== undefined) isOurs = titles.includes(title.replace(/\s+/g, " "));
      else if (isOurs && key !== undefined && value) found.set(key.toLowerCase(), value);
    }
  }
  return found;
}

function credentials(
  source: string,
  accessKeyId: string | undefined,
  secretAccessKey: string | undefined,
  sessionToken: string | undefined,
): S3Credentials | undefined {
  if (!accessKeyId || !secretAccessKey) return undefined;
  return { accessKeyId, secretAccessKey, source, ...(sessionToken && { sessionToken }) };
}
