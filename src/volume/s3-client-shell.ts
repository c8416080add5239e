import { createHash } from "node:crypto";
import { AwsV4Signer } from "aws4fetch";
import { adviceOf } from "../base/errors.ts";
import type { Rng } from "../base/rng.ts";
import { type Clock, type HttpAnswer, type HttpClient, retry } from "../io/index.ts";
import type { S3Credentials } from "./s3-credentials.ts";
import {
  errorOfClosing,
  errorOfConnection,
  errorOfRefusal,
  type S3Asked,
  S3Error,
} from "./s3-errors.ts";
import type { S3Location } from "./s3-location.ts";
import { findErrorBody } from "./s3-xml.ts";

export interface S3Request {
  /** For error texts: the verb and what it is about. */
  readonly what: string;
  readonly method: "GET" | "HEAD" | "PUT" | "POST" | "DELETE";
  /** Whole, with the store's prefix; absent: the bucket itself. */
  readonly key?: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
}

export interface S3ClientOptions {
  readonly location: S3Location;
  readonly http: HttpClient;
  readonly clock: Clock;
  readonly rng: Rng;
  /** Asked before each attempt, so that temporary credentials can be renewed. */
  readonly credentials: () => Promise<S3Credentials>;
  /** How long the same call is tried again after failures that may pass. */
  readonly retryMs: number;
}

/** Makes a PUT without a body a copy of what it names: `/BUCKET/KEY`. */
export const copySourceHeader = "x-amz-copy-source";

const firstDelayMs = 100;
const maxDelayMs = 5_000;
/** Calls may be tried again for so long before it is worth a word: services say "slow down" now and then. */
const troubleAfterMs = 5_000;

/** Signed calls to one bucket: each is tried again while its failure may pass, and ends as an S3Error otherwise. */
export class S3Client {
  private readonly options: S3ClientOptions;
  /** The signer's derived keys, one a day, region and secret. */
  private signingKeys = new Map<string, ArrayBuffer>();
  /** Those under way. A signal each: one for all would have a listener for each of them. */
  private readonly calls = new Set<AbortController>();
  private isClosed = false;
  /** Since when no call has succeeded, and why the last one did not. */
  private failing: { readonly sinceMs: number; readonly why: S3Error } | undefined;

  constructor(options: S3ClientOptions) {
    this.options = options;
  }

  /**
   * `read` makes the result of an answer below 300, or of one whose status is in `accepted`. What it raises is tried again
   * too if it is an S3Error that may pass: so a body that was damaged on the way is asked for once more.
   */
  async call<T>(
    request: S3Request,
    read: (answer: HttpAnswer, asked: S3Asked) => T,
    accepted: readonly number[] = [],
  ): Promise<T> {
    const ending = new AbortController();
    this.calls.add(ending);
    try {
      return await this.callUntil(ending.signal, request, read, accepted);
    } finally {
      this.calls.delete(ending);
    }
  }

  /** As ObjectStore has it. */
  get trouble(): string | undefined {
    const { failing, options } = this;
    if (!failing || options.clock.nowMs() - failing.sinceMs < troubleAfterMs) return undefined;
    return adviceOf(failing.why);
  }

  /** Ends what is under way, with a failure. */
  close(): void {
    this.isClosed = true;
    for (const call of this.calls) call.abort();
    this.options.http.close();
  }

  private callUntil<T>(
    signal: AbortSignal,
    request: S3Request,
    read: (answer: HttpAnswer, asked: S3Asked) => T,
    accepted: readonly number[],
  ): Promise<T> {
    const { clock, rng, retryMs } = this.options;
    const sha256 = createHash("sha256")
      .update(request.body ?? "")
      .digest("hex");
    return retry(
      {
        clock,
        rng,
        signal,
        firstDelayMs,
        maxDelayMs,
        deadlineMs: retryMs,
        mayRetry: (error) => this.isPassing(error),
      },
      async () => {
        const credentials = await this.options.credentials();
        const asked = { location: this.options.location, credentials, what: request.what };
        const answer = await this.send(request, sha256, asked);
        // Some say 200 before they know, and put the error into the body.
        const body = answer.status === 200 ? findErrorAfterAll(request, answer) : undefined;
        const isGood = (answer.status < 300 && !body) || accepted.includes(answer.status);
        if (!isGood) throw this.refusal(answer, asked, body !== undefined);
        const result = read(answer, asked);
        this.failing = undefined;
        return result;
      },
    );
  }

  private isPassing(error: unknown): boolean {
    if (!(error instanceof S3Error) || !error.isPassing) return false;
    this.failing = { sinceMs: this.failing?.sinceMs ?? this.options.clock.nowMs(), why: error };
    return true;
  }

  /** The error that an answer stands for, for a caller that accepted its status and thinks again. */
  refusal(answer: HttpAnswer, asked: S3Asked, isLate = false): S3Error {
    return errorOfRefusal(asked, {
      status: isLate ? 500 : answer.status,
      headers: answer.headers,
      body: findErrorBody(answer.body),
      wallMs: this.options.clock.wallMs(),
    });
  }

  private async send(request: S3Request, sha256: string, asked: S3Asked): Promise<HttpAnswer> {
    const { http, clock, location } = this.options;
    const { accessKeyId, secretAccessKey, sessionToken } = asked.credentials;
    if (this.signingKeys.size > 8) this.signingKeys = new Map();
    const signed = await new AwsV4Signer({
      method: request.method,
      url: urlOf(location, request).href,
      headers: { ...request.headers, "x-amz-content-sha256": sha256 },
      accessKeyId,
      secretAccessKey,
      ...(sessionToken !== undefined && { sessionToken }),
      service: "s3",
      region: location.region,
      datetime: new Date(clock.wallMs()).toISOString().replace(/[:-]|\.\d{3}/g, ""),
      cache: this.signingKeys,
    }).sign();
    if (this.isClosed) throw errorOfClosing(asked);
    try {
      return await http.call({
        method: request.method,
        url: signed.url,
        headers: Object.fromEntries(signed.headers),
        ...(request.body && { body: request.body }),
      });
    } catch (error) {
      throw this.isClosed ? errorOfClosing(asked) : errorOfConnection(asked, error);
    }
  }
}

/** CompleteMultipartUpload and CopyObject work behind their 200. */
function findErrorAfterAll(request: S3Request, answer: HttpAnswer): object | undefined {
  const isLate = request.method === "POST" || request.headers?.[copySourceHeader] !== undefined;
  return isLate ? findErrorBody(answer.body) : undefined;
}

function urlOf(location: S3Location, request: S3Request): URL {
  const url = new URL(location.endpoint);
  if (!location.isPathStyle) url.host = `${location.bucket}.${url.host}`;
  const bucket = location.isPathStyle ? `/${location.bucket}` : "";
  url.pathname = request.key === undefined ? `${bucket}/` : `${bucket}/${request.key}`;
  for (const [name, value] of Object.entries(request.query ?? {})) {
    url.searchParams.set(name, value);
  }
  return url;
}
