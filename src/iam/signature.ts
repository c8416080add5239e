import { createHash, createHmac } from "node:crypto";
import { canonicalQuery, type Encoded } from "./query.ts";
import { algorithm, formatTime, lifetimeSecondsMax, service, type Token } from "./token.ts";

/** AWS's signature version 4 of a token: 32 bytes. */
export function signatureOf(
  token: Pick<Token, "host" | "port" | "date" | "madeAt" | "region" | "signed">,
  secret: string,
): Buffer {
  const { host, port, date, madeAt, region, signed } = token;
  const scope = scopeOf(date, region);
  const request = [
    "GET",
    "/",
    canonicalQuery(signed),
    `host:${host}:${port}`,
    "",
    "host",
    sha256(""),
  ].join("\n");
  const text = [algorithm, madeAt, scope, sha256(request)].join("\n");
  const key = [date, region, service, "aws4_request"].reduce<Buffer>(
    (last, part) => hmac(last, part),
    Buffer.from(`AWS4${secret}`),
  );
  return hmac(key, text);
}

export interface TokenWish {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secret: string;
  readonly nowMs: number;
}

/** A token, as botocore would write it. */
export function makeToken({ nowMs, secret, ...wish }: TokenWish): string {
  const madeAt = formatTime(nowMs);
  const date = madeAt.slice(0, 8);
  const signed: Encoded[] = [
    { name: "Action", value: "connect" },
    { name: "DBUser", value: wish.user },
    { name: "X-Amz-Algorithm", value: algorithm },
    { name: "X-Amz-Credential", value: `${wish.accessKeyId}/${scopeOf(date, wish.region)}` },
    { name: "X-Amz-Date", value: madeAt },
    { name: "X-Amz-Expires", value: String(lifetimeSecondsMax) },
    { name: "X-Amz-SignedHeaders", value: "host" },
  ];
  const signature = signatureOf({ ...wish, date, madeAt, signed }, secret).toString("hex");
  const query = canonicalQuery(signed);
  return `${wish.host}:${wish.port}/?${query}&X-Amz-Signature=${signature}`;
}

function scopeOf(date: string, region: string): string {
  return `${date}/${region}/${service}/aws4_request`;
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}
