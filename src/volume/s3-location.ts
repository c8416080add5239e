import { isLoopback } from "../base/address.ts";
import { BorealisError, sqlState } from "../base/errors.ts";

/** Where an S3 store is, without what it takes to get in. */
export interface S3Location {
  readonly bucket: string;
  /** Empty, or ends in a slash: goes before each object's name. */
  readonly prefix: string;
  /** Scheme, host and port of the service, without the bucket. */
  readonly endpoint: URL;
  readonly region: string;
  /** The bucket is the first part of the path, not of the host name. */
  readonly isPathStyle: boolean;
}

/** What tells the place of objects from others, whichever way a request takes to it. */
export interface S3Place {
  /** Host and port. Amazon is one service: a bucket's name is one in all of its regions, and at all of its hosts. */
  readonly service: string;
  readonly bucket: string;
  /** As S3Location's. */
  readonly prefix: string;
}

/** The process's environment, or what stands in for it. */
export type Env = Readonly<Record<string, string | undefined>>;

/** What opening an S3 store takes from it. */
export const storeVariables = [
  "AWS_ACCESS_KEY_ID",
  "AWS_SECRET_ACCESS_KEY",
  "AWS_SESSION_TOKEN",
  "AWS_REGION",
  "AWS_DEFAULT_REGION",
  "AWS_ENDPOINT_URL",
  "AWS_ENDPOINT_URL_S3",
  "AWS_PROFILE",
  "AWS_CONFIG_FILE",
  "AWS_SHARED_CREDENTIALS_FILE",
  "HOME",
  "USERPROFILE",
] as const;

/** What a profile in AWS's files adds. */
export interface S3Defaults {
  readonly region?: string | undefined;
  readonly endpoint?: string | undefined;
}

const parameters = ["endpoint", "region", "pathStyle", "profile"];
const form = "s3://BUCKET/PREFIX?endpoint=https://HOST&region=REGION&pathStyle=true&profile=NAME";
const amazon = "amazonaws.com";
// Capitals and underscores are no longer given to new buckets, but old ones and other services have them.
const bucketForm = /^[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]$/;
// Letters that every service takes, and that mean the same in a URL, in XML and in a signature.
const prefixForm = /^[A-Za-z0-9_-][A-Za-z0-9._-]*(?:\/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$/;

/** The profile that the URL asks for. Raises 22023 for a URL that is none. */
export function s3ProfileOf(url: string): string | undefined {
  return parse(url).searchParams.get("profile") ?? undefined;
}

/** The URL of what lies in `folder` of the store that `url` names. Raises 22023 for a URL that is none. */
export function s3UrlBelow(url: string, folder: string): string {
  const below = parse(url);
  below.pathname = `${below.pathname.replace(/\/+$/, "")}/${folder}`;
  return below.href;
}

/**
 * Reads `s3://bucket/prefix?endpoint=…&region=…&pathStyle=…&profile=…`; what it does not say comes from AWS_ENDPOINT_URL_S3,
 * AWS_ENDPOINT_URL, AWS_REGION and AWS_DEFAULT_REGION, then from the profile. Without an endpoint it is Amazon's own, and
 * the region has to be known. Raises 22023.
 */
export function parseS3Url(text: string, env: Env, defaults: S3Defaults = {}): S3Location {
  const url = parse(text);
  const prefix = prefixOf(url);
  const given = url.searchParams;
  const endpointText = endpointTextOf(url, env, defaults);
  const region = firstOf(
    given.get("region"),
    env["AWS_REGION"],
    env["AWS_DEFAULT_REGION"],
    defaults.region,
    endpointText === undefined ? undefined : "us-east-1",
  );
  if (region === undefined) throw refused("the region is not known: add region=… or AWS_REGION");
  if (!/^[a-z0-9-]+$/i.test(region)) throw refused(`${region} is no region`);
  return {
    bucket: url.host,
    prefix,
    endpoint: endpointText === undefined ? amazonEndpoint(region) : parseEndpoint(endpointText),
    region,
    // Amazon's certificates cover one label before their name; other services seldom have a wildcard at all.
    isPathStyle: isPathStyle(given.get("pathStyle"), endpointText, url.host),
  };
}

/** The place that parseS3Url would find, also where the region is not known. Raises 22023 for a URL that is none. */
export function s3PlaceOf(text: string, env: Env, defaults: S3Defaults = {}): S3Place {
  const url = parse(text);
  const endpoint = endpointTextOf(url, env, defaults);
  return { service: serviceOf(endpoint), bucket: url.host, prefix: prefixOf(url) };
}

/** With TLS or without, and by whichever name of this machine: the port tells what listens there. */
function serviceOf(endpoint: string | undefined): string {
  if (endpoint === undefined) return amazon;
  const { host, hostname, port } = parseEndpoint(endpoint);
  if (hostname === amazon || /\.amazonaws\.com(?:\.cn)?$/.test(hostname)) return amazon;
  return isLoopback(hostname.replace(/^\[|\]$/g, "")) ? `localhost:${port}` : host;
}

function prefixOf({ pathname }: URL): string {
  const prefix = pathname.replace(/^\/+|\/+$/g, "");
  if (prefix === "" || prefixForm.test(prefix)) return prefix === "" ? "" : `${prefix}/`;
  throw refused(`the prefix ${prefix} has more than letters, digits and -_./ in it`);
}

function endpointTextOf(
  { searchParams }: URL,
  env: Env,
  { endpoint }: S3Defaults,
): string | undefined {
  const given = searchParams.get("endpoint");
  return firstOf(given, env["AWS_ENDPOINT_URL_S3"], env["AWS_ENDPOINT_URL"], endpoint);
}

function isPathStyle(given: string | null, endpoint: string | undefined, bucket: string): boolean {
  if (given === null) return endpoint !== undefined || bucket.includes(".");
  if (given === "true" || given === "false") return given === "true";
  throw refused(`pathStyle is true or false, not ${given}`);
}

function parse(text: string): URL {
  let url: URL;
  try {
    url = new URL(text);
  } catch (error) {
    throw refused("it is no URL", error);
  }
  if (url.protocol !== "s3:") throw refused(`it begins with ${url.protocol}`);
  if (url.username !== "" || url.password !== "") {
    throw refused("keys have no place in it: give AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY");
  }
  if (!bucketForm.test(url.host)) throw refused(`${url.host || "nothing"} is no bucket's name`);
  if (url.hash !== "") throw refused("it has a #");
  for (const name of url.searchParams.keys()) {
    if (!parameters.includes(name)) throw refused(`${name} is not among ${parameters.join(", ")}`);
  }
  return url;
}

function parseEndpoint(text: string): URL {
  let url: URL;
  try {
    url = new URL(text);
  } catch (error) {
    throw refused("the endpoint is no URL", error);
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw refused("the endpoint begins with neither http:// nor https://");
  }
  if (url.username !== "" || url.password !== "" || url.pathname !== "/" || url.search !== "") {
    throw refused("the endpoint is more than a scheme, a host and a port");
  }
  return url;
}

function amazonEndpoint(region: string): URL {
  return new URL(`https://s3.${region}.amazonaws.com${region.startsWith("cn-") ? ".cn" : ""}`);
}

/** As Amazon's own tools do, an empty variable is one that is not set. */
function firstOf(...values: (string | null | undefined)[]): string | undefined {
  return values.find((value) => value !== null && value !== undefined && value !== "") ?? undefined;
}

function refused(why: string, cause?: unknown): BorealisError {
  return new BorealisError(sqlState.invalidParameter, `not an S3 store's URL: ${why}`, {
    hint: `write ${form}; all after the bucket may be left out`,
    ...(cause !== undefined && { cause }),
  });
}
