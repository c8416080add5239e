import { type Encoded, parseQuery } from "./query.ts";

/**
 * A token is a presigned URL without its scheme, as `aws rds generate-db-auth-token` and the SDKs' signers make it:
 *
 *     HOST:PORT/?Action=connect&DBUser=USER&X-Amz-Algorithm=AWS4-HMAC-SHA256
 *       &X-Amz-Credential=KEY%2FDATE%2FREGION%2Frds-db%2Faws4_request&X-Amz-Date=DATEThhmmssZ&X-Amz-Expires=900
 *       &X-Amz-SignedHeaders=host&X-Amz-Signature=HEX
 *
 * Parameters come in any order: botocore writes the signature last, the SDK for JavaScript before the signed headers.
 */
export interface Token {
  /** As it was written: the signature is over these letters. */
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly accessKeyId: string;
  readonly region: string;
  /** Of the credential and of X-Amz-Date: yyyymmdd. */
  readonly date: string;
  /** X-Amz-Date as it was written. */
  readonly madeAt: string;
  readonly madeAtMs: number;
  readonly lifetimeSeconds: number;
  /** 32 bytes. */
  readonly signature: Buffer;
  /** Every parameter but the signature: all of it is signed. */
  readonly signed: readonly Encoded[];
}

export type ParsedToken =
  | { readonly kind: "token"; readonly token: Token }
  /** `why` never shows what was sent: it may be a password. */
  | { readonly kind: "malformed"; readonly why: string };

export const algorithm = "AWS4-HMAC-SHA256";
export const service = "rds-db";
/** AWS's own: 15 minutes. */
export const lifetimeSecondsMax = 900;
/** One with a session token is about 2 KB long. */
const bytesMax = 16 * 1024;

const signatureName = "X-Amz-Signature";
const hostForm = /^(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,253})|\[[0-9A-Fa-f:.]{2,45}\])$/;

/** Its form only: whether it is true is judged elsewhere. */
export function parseToken(text: string): ParsedToken {
  if (text === "") return malformed("The password is empty, and a token was expected.");
  if (text.length > bytesMax)
    return malformed(`What was sent is longer than a token may be (${bytesMax} bytes).`);
  const head = /^([^/?#]*):(\d{1,5})\/\?/.exec(text);
  if (!head) return malformed(noToken);
  if (!/^[\x21-\x7e]*$/.test(text))
    return malformed("The token has blanks, line breaks or other letters that no token has.");
  const [whole, host = "", port = ""] = head;
  if (!hostForm.test(host) || Number(port) < 1 || Number(port) > 65_535)
    return malformed("The token does not begin with the name of a host, and a port.");
  const query = parseQuery(text.slice(whole.length));
  if (!query) return malformed("The token's parameters cannot be read, or one is there twice.");
  return readParameters({ host, port: Number(port) }, query);
}

const noToken =
  "What was sent is no token: one looks like HOST:PORT/?Action=connect&DBUser=..., and members of rds_iam have no other password.";

function readParameters(
  where: Pick<Token, "host" | "port">,
  query: ReadonlyMap<string, Encoded>,
): ParsedToken {
  const valueOf = (name: string): string => query.get(name)?.value ?? "";
  const fixed = [
    ["Action", "connect"],
    ["X-Amz-Algorithm", algorithm],
    // We have seen no other header of the request that was signed.
    ["X-Amz-SignedHeaders", "host"],
  ] as const;
  for (const [name, value] of fixed)
    if (valueOf(name) !== value) return malformed(`The token's ${name} is not ${value}.`);
  const user = valueOf("DBUser");
  if (user === "") return malformed("The token has no DBUser.");
  const scope = /^(\w{1,128})\/(\d{8})\/([a-z0-9-]{1,32})\/rds-db\/aws4_request$/.exec(
    valueOf("X-Amz-Credential"),
  );
  if (!scope)
    return malformed("The token's X-Amz-Credential is not KEY/DATE/REGION/rds-db/aws4_request.");
  const [, accessKeyId = "", date = "", region = ""] = scope;
  const madeAt = valueOf("X-Amz-Date");
  const madeAtMs = findTime(madeAt);
  if (madeAtMs === undefined || !madeAt.startsWith(date))
    return malformed("The token's X-Amz-Date is no time of the day that its credential names.");
  const expires = valueOf("X-Amz-Expires");
  const lifetimeSeconds = Number(expires);
  if (!/^[1-9]\d{0,2}$/.test(expires) || lifetimeSeconds > lifetimeSecondsMax)
    return malformed(`The token's X-Amz-Expires is not 1 to ${lifetimeSecondsMax} seconds.`);
  if (query.has("X-Amz-Security-Token")) return malformed(noSessions);
  const signature = valueOf(signatureName);
  if (!/^[0-9a-f]{64}$/.test(signature))
    return malformed(`The token's ${signatureName} is not one of SHA-256.`);
  const signed = [...query.values()].filter(({ name }) => name !== signatureName);
  const who = { user, accessKeyId, region };
  const when = { date, madeAt, madeAtMs, lifetimeSeconds };
  const token = { ...where, ...who, ...when, signature: Buffer.from(signature, "hex"), signed };
  return { kind: "token", token };
}

const noSessions =
  "The token was made with a session token (X-Amz-Security-Token), and access keys of this cluster have none: unset AWS_SESSION_TOKEN.";

function malformed(why: string): ParsedToken {
  return { kind: "malformed", why };
}

/** Milliseconds since 1970; undefined if there is no such time. */
function findTime(text: string): number | undefined {
  const parts = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(text);
  if (!parts) return undefined;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = parts
    .slice(1)
    .map(Number);
  const ms = Date.UTC(year, month - 1, day, hour, minute, second);
  // The 31st of February is a day of March otherwise.
  return formatTime(ms) === text ? ms : undefined;
}

/** As X-Amz-Date has it. */
export function formatTime(ms: number): string {
  return new Date(ms).toISOString().replace(/[-:]|\.\d+/g, "");
}
