import { BorealisError, type ErrorFacts, messageOf, sqlState } from "../base/errors.ts";
import type { S3Credentials } from "./s3-credentials.ts";
import type { S3Location } from "./s3-location.ts";
import type { S3ErrorBody } from "./s3-xml.ts";

/** A refusal of the service, or a failure on the way to it. */
export class S3Error extends BorealisError {
  override readonly name = "S3Error";
  /** What the service calls it (`NoSuchUpload`), or the system (`ECONNREFUSED`); empty if neither said. */
  readonly reason: string;
  /** The same call may work a moment later. */
  readonly isPassing: boolean;

  constructor(
    code: string,
    reason: string,
    isPassing: boolean,
    message: string,
    facts: ErrorFacts = {},
  ) {
    super(code, message, facts);
    this.reason = reason;
    this.isPassing = isPassing;
  }
}

/** Who was asked for what, for the texts. */
export interface S3Asked {
  readonly location: S3Location;
  readonly credentials: S3Credentials;
  /** The verb and what it was about: `put extents/7f/7f3a…`. */
  readonly what: string;
}

export interface S3Refusal {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** Undefined: it gave no reason (answers to HEAD never do). */
  readonly body: S3ErrorBody | undefined;
  /** This machine's clock when the answer came, in milliseconds of the Unix epoch. */
  readonly wallMs: number;
}

/** Codes beside statuses 429 and 5xx after which the same call may work (docs.aws.amazon.com, S3 "Error responses"). */
const passing = new Set(
  "RequestTimeout SlowDown InternalError ServiceUnavailable OperationAborted BadDigest IncompleteBody XAmzContentSHA256Mismatch".split(
    " ",
  ),
);
/** Amazon never says so; Ceph, MinIO, and Swift with quotas do. Swift's S3 API makes EntityTooLarge of a quota's 413. */
const fullReasons = new Set(
  "QuotaExceeded EntityTooLarge XMinioStorageFull XMinioAdminBucketQuotaExceeded InsufficientStorage ServiceQuotaExceeded".split(
    " ",
  ),
);
const wrongKey = new Set(["InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthFailure"]);
const expired = new Set(["ExpiredToken", "TokenRefreshRequired", "InvalidToken"]);
const elsewhere = new Set([
  "PermanentRedirect",
  "TemporaryRedirect",
  "AuthorizationHeaderMalformed",
  "IllegalLocationConstraintException",
]);
const certificate = /^(?:CERT_|ERR_TLS_|ERR_SSL_|UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO|EPROTO)/;

interface Meaning {
  /** 58030 if absent. */
  readonly code?: string;
  readonly isPassing?: boolean;
  readonly message: string;
  readonly hint: string;
}

/** What an answer that is no success means, and what to do about it. */
export function errorOfRefusal(asked: S3Asked, refusal: S3Refusal): S3Error {
  const { status, headers, body } = refusal;
  const reason = body?.code ?? "";
  const meaning =
    meaningOfReason(asked, refusal, reason) ??
    meaningOfPlace(asked, refusal, reason) ??
    meaningOfStatus(asked, status, reason);
  const answered = [status, reason, body?.message].filter(Boolean).join(" ");
  const id = headers["x-amz-request-id"];
  return new S3Error(
    meaning.code ?? sqlState.ioError,
    reason,
    meaning.isPassing ?? false,
    `${meaning.message} (${asked.what}: ${asked.location.endpoint.host} answered ${answered})`,
    { hint: meaning.hint, ...(id !== undefined && { detail: `the service's request id: ${id}` }) },
  );
}

function meaningOfReason(asked: S3Asked, refusal: S3Refusal, reason: string): Meaning | undefined {
  const { location, credentials } = asked;
  if (refusal.status === 507 || fullReasons.has(reason)) {
    return {
      code: sqlState.diskFull,
      message: "the object store is full",
      hint: `make room or raise the quota of bucket ${location.bucket}; nothing that was put is lost`,
    };
  }
  if (reason === "NoSuchBucket") {
    return {
      message: `there is no bucket ${location.bucket}`,
      hint: `make it at ${location.endpoint.origin}, or correct the URL; Borealis makes no buckets`,
    };
  }
  if (reason === "RequestTimeTooSkewed") {
    return {
      message: `this machine's clock is ${skew(refusal)} the object store's`,
      hint: "set the clock right (chrony, systemd-timesyncd): signatures carry the time",
    };
  }
  if (wrongKey.has(reason)) {
    return {
      message: `the object store does not take the key ${credentials.accessKeyId}`,
      hint: `correct the access key and its secret; these are from ${credentials.source}`,
    };
  }
  if (expired.has(reason)) {
    return {
      message: "the session token is no longer good",
      hint: `get new temporary credentials; these are from ${credentials.source}`,
    };
  }
  return undefined;
}

function meaningOfPlace(asked: S3Asked, refusal: S3Refusal, reason: string): Meaning | undefined {
  const { status, headers, body } = refusal;
  if (!elsewhere.has(reason) && (status < 301 || status > 308)) return undefined;
  const home = headers["x-amz-bucket-region"] ?? body?.region;
  return {
    message: `bucket ${asked.location.bucket} is not in region ${asked.location.region}`,
    hint: home === undefined ? "correct region= or endpoint= in the URL" : `write region=${home}`,
  };
}

function meaningOfStatus(asked: S3Asked, status: number, reason: string): Meaning {
  if (status === 401 || status === 403) {
    return {
      message: `the key ${asked.credentials.accessKeyId} may not do this`,
      hint:
        `allow it s3:ListBucket on ${asked.location.bucket}, and s3:GetObject, s3:PutObject, ` +
        "s3:DeleteObject and s3:AbortMultipartUpload on all in it",
    };
  }
  if (status >= 500 ? status !== 501 : status === 429 || passing.has(reason)) {
    return {
      isPassing: true,
      message: "the object store is not well",
      hint: "it was asked several times; look at the service's own health",
    };
  }
  return {
    message: "the object store refuses",
    hint: "is this an S3 service, and its bucket writable?",
  };
}

/** What a failed connection means. `error` is the system's own, with its `code`. */
export function errorOfConnection(asked: S3Asked, error: unknown): S3Error {
  const { origin } = asked.location.endpoint;
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const make = (isPassing: boolean, message: string, hint: string): S3Error =>
    new S3Error(
      sqlState.ioError,
      code,
      isPassing,
      `${message} (${asked.what}: ${messageOf(error) || code})`,
      { hint, cause: error },
    );
  if (certificate.test(code)) {
    return make(
      false,
      `no trusted TLS with ${origin}`,
      "a private authority's certificate goes into NODE_EXTRA_CA_CERTS; http:// speaks without TLS",
    );
  }
  if (code === "EMSGSIZE") {
    return make(false, `${origin} sends more than was ever put`, "is the endpoint right?");
  }
  return make(
    true,
    `the object store at ${origin} cannot be reached`,
    "is the endpoint right, does it run, does a firewall stand between?",
  );
}

export function errorOfClosing(asked: S3Asked): S3Error {
  return new S3Error(sqlState.ioError, "", false, `the object store was closed (${asked.what})`, {
    hint: "whoever closed it has no more use for the answer",
  });
}

/** An object that is not what was put. Passing, because it may have been damaged on the way. */
export function errorOfDamage(asked: S3Asked, how: string): S3Error {
  return new S3Error(sqlState.dataCorrupted, "", true, `damaged: ${asked.what}: ${how}`, {
    hint: "read it from another copy and put it again",
  });
}

function skew(refusal: S3Refusal): string {
  const serverMs = Date.parse(refusal.headers["date"] ?? "");
  if (Number.isNaN(serverMs)) return "not that of";
  const minutes = Math.round(Math.abs(refusal.wallMs - serverMs) / 60_000);
  return `${minutes} minutes ${refusal.wallMs < serverMs ? "behind" : "ahead of"}`;
}
