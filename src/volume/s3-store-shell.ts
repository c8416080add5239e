import { createHash } from "node:crypto";
import { BorealisError, sqlState } from "../base/errors.ts";
import type { HttpAnswer } from "../io/index.ts";
import type { ObjectFacts, ObjectStore, Relative } from "./object-store-shell.ts";
import { copySourceHeader, type S3Client } from "./s3-client-shell.ts";
import { eachLimited } from "./s3-each-shell.ts";
import { errorOfDamage, type S3Asked, S3Error } from "./s3-errors.ts";
import type { S3Location } from "./s3-location.ts";
import { putInParts } from "./s3-multipart-shell.ts";
import { deleteBody, findErrorBody, readDeleteErrors, readPage } from "./s3-xml.ts";

export interface S3StoreOptions {
  readonly location: S3Location;
  readonly client: S3Client;
  /** Objects over this are put in parts of this size; services take no part under 5 MiB but the last. */
  readonly partBytes: number;
  /** Calls under way at a time within one verb. */
  readonly callsMax: number;
}

/** DeleteObjects takes 1,000, but Swift deletes them one after the other before it answers, and we wait only so long. */
const deletesMax = 250;
/** What we put beside an object, so that it can be checked whoever carried it. */
const sumHeader = "x-amz-meta-sha256";
/** To CopyObject: the source is not to be younger than this. */
const unmodifiedHeader = "x-amz-copy-source-if-unmodified-since";
/** Reasons not to copy one object. */
const isOfOne = new Set(["NoSuchKey", "PreconditionFailed"]);
/** Codes of services that do not offer DeleteObjects. */
const unoffered = new Set(["NotImplemented", "MethodNotAllowed"]);

/**
 * Objects in a bucket of an S3 service. Each carries its SHA-256 as metadata, which `get` compares, and is put with its
 * MD5, which the service compares. It uses single and multi-part PUT, GET, HEAD, DELETE, ListObjectsV2, DeleteObjects and
 * CopyObject.
 * `has` asks for each object alone, never by a listing: listings of OpenStack Swift may lag behind, and an extent that is
 * believed to be there but is not would be missing from a snapshot.
 */
export class S3Store implements ObjectStore {
  readonly label: string;
  private readonly options: S3StoreOptions;
  private readonly client: S3Client;
  private readonly prefix: string;
  private hasBulkDelete = true;
  private hasConditions = true;
  private hasCopies = true;
  private hasSeenBucket = false;

  constructor(options: S3StoreOptions) {
    const { bucket, prefix } = options.location;
    this.label = `s3://${bucket}/${prefix}`.replace(/\/$/, "");
    this.options = options;
    this.client = options.client;
    this.prefix = prefix;
  }

  async put(name: string, bytes: Uint8Array): Promise<void> {
    await this.write(name, bytes, {});
  }

  /**
   * Puts it only if nothing has the name: false if something else has. Sure where the service offers If-None-Match. One
   * that refuses it is asked first what is there, so that two at the same moment may both hear true; one that overlooks it
   * replaces what was there. So nothing may depend on it (decisions.md D31).
   */
  async putNew(name: string, bytes: Uint8Array): Promise<boolean> {
    if (this.hasConditions) {
      try {
        await this.write(name, bytes, { "if-none-match": "*" });
        return true;
      } catch (error) {
        if (!(error instanceof S3Error)) throw error;
        // A put whose answer was lost finds itself there.
        if (error.reason === "PreconditionFailed") return this.isThere(name, sumOf(bytes));
        if (error.reason !== "NotImplemented") throw error;
        this.hasConditions = false;
      }
    }
    const there = await this.findHead(name);
    if (there) return there.headers[sumHeader] === sumOf(bytes);
    await this.write(name, bytes, {});
    return true;
  }

  async get(name: string): Promise<Buffer | undefined> {
    return this.client.call(
      { what: `get ${name}`, method: "GET", key: this.prefix + name },
      (answer, asked) => {
        if (answer.status === 404) {
          if (findErrorBody(answer.body)?.code !== "NoSuchKey") {
            throw this.client.refusal(answer, asked);
          }
          return undefined;
        }
        verify(answer, asked);
        return answer.body;
      },
      [404],
    );
  }

  async has(names: readonly string[]): Promise<ReadonlySet<string>> {
    const found = new Set<string>();
    await eachLimited(names, this.options.callsMax, async (name) => {
      if ((await this.findHead(name)) !== undefined) found.add(name);
    });
    return found;
  }

  async *list(prefix: string): AsyncIterable<ObjectFacts> {
    let token: string | undefined;
    let last = "";
    do {
      const page = await this.client.call(
        {
          what: `list ${prefix}`,
          method: "GET",
          query: {
            "list-type": "2",
            prefix: this.prefix + prefix,
            ...(token !== undefined && { "continuation-token": token }),
          },
        },
        (answer) => readPage(answer.body),
      );
      for (const { key, sizeBytes, putAtMs } of page.objects) {
        if (!key.startsWith(this.prefix + prefix) || key <= last) throw unordered(this.label);
        last = key;
        yield { name: key.slice(this.prefix.length), sizeBytes, putAtMs, isShared: false };
      }
      token = page.next;
    } while (token !== undefined);
  }

  /** From another bucket too, if it is the same service's: the key has to be good for both. */
  async copyFrom(relative: Relative, names: readonly string[]): Promise<ReadonlySet<string>> {
    const copied = new Set<string>();
    const { store: from, putBeforeMs } = relative;
    if (!(from instanceof S3Store) || !this.isBeside(from)) return copied;
    // (A service that overlooks it copies too much in rare cases, which a scrub then tells of.)
    const condition = putBeforeMs === undefined ? {} : { [unmodifiedHeader]: dateOf(putBeforeMs) };
    await eachLimited(names, this.options.callsMax, async (name) => {
      if (this.hasCopies && (await this.copyOne(from, name, condition))) copied.add(name);
    });
    return copied;
  }

  async delete(names: readonly string[]): Promise<void> {
    const { callsMax } = this.options;
    let done = 0;
    for (; this.hasBulkDelete && done < names.length; done += deletesMax) {
      if (await this.deleteMany(names.slice(done, done + deletesMax))) continue;
      this.hasBulkDelete = false;
      break;
    }
    await eachLimited(names.slice(done), callsMax, (name) =>
      this.client.call(
        { what: `delete ${name}`, method: "DELETE", key: this.prefix + name },
        (answer, asked) => {
          if (answer.status === 404 && findErrorBody(answer.body)?.code === "NoSuchBucket") {
            throw this.client.refusal(answer, asked);
          }
        },
        [404],
      ),
    );
  }

  get trouble(): string | undefined {
    return this.client.trouble;
  }

  close(): Promise<void> {
    this.client.close();
    return Promise.resolve();
  }

  private isBeside({ options }: S3Store): boolean {
    return options.location.endpoint.origin === this.options.location.endpoint.origin;
  }

  /** False: it is not there, or was put too late, or the service does not copy for us. */
  private async copyOne(
    from: S3Store,
    name: string,
    condition: Readonly<Record<string, string>>,
  ): Promise<boolean> {
    // Names and prefixes are of letters that mean the same in a header (s3-location.ts).
    const source = `/${from.options.location.bucket}/${from.prefix}${name}`;
    try {
      const isCopied = await this.client.call(
        {
          what: `copy ${name} from ${from.label}`,
          method: "PUT",
          key: this.prefix + name,
          headers: { [copySourceHeader]: source, ...condition },
        },
        // A service that overlooks the header has taken it for a put of nothing.
        ({ body }) => body.includes("CopyObjectResult"),
      );
      if (!isCopied) this.hasCopies = false;
      return isCopied;
    } catch (error) {
      if (!(error instanceof S3Error)) throw error;
      // It would only have saved bytes. Whatever else stands in the way of it stands in the way of all; a put that follows says what it is.
      if (!isOfOne.has(error.reason)) this.hasCopies = false;
      return false;
    }
  }

  private async write(
    name: string,
    bytes: Uint8Array,
    conditions: Readonly<Record<string, string>>,
  ): Promise<void> {
    const { partBytes, callsMax } = this.options;
    const key = this.prefix + name;
    const sum = sumOf(bytes);
    const facts = { "content-type": "application/octet-stream", [sumHeader]: sum };
    if (bytes.length > partBytes) {
      return putInParts(
        { client: this.client, what: `put ${name}`, key, partBytes, callsMax },
        { bytes, facts, conditions, isThere: () => this.isThere(name, sum) },
      );
    }
    await this.client.call(
      {
        what: `put ${name}`,
        method: "PUT",
        key,
        headers: { ...facts, ...conditions, "content-md5": md5Of(bytes).toString("base64") },
        body: bytes,
      },
      () => undefined,
    );
  }

  private async isThere(name: string, sum: string): Promise<boolean> {
    return (await this.findHead(name))?.headers[sumHeader] === sum;
  }

  private async findHead(name: string): Promise<HttpAnswer | undefined> {
    let answer: HttpAnswer;
    try {
      answer = await this.client.call(
        { what: `look for ${name}`, method: "HEAD", key: this.prefix + name },
        (given) => given,
        [404],
      );
    } catch (error) {
      // An answer to HEAD has no body that says why; the same refusal of a GET has.
      if (error instanceof S3Error && error.reason === "") await this.lookForBucket();
      throw error;
    }
    if (answer.status !== 404) return answer;
    // Nor does it say whether the object is missing or the whole bucket.
    if (!this.hasSeenBucket) await this.lookForBucket();
    return undefined;
  }

  /** Raises what is wrong with the bucket or with our key to it. */
  private async lookForBucket(): Promise<void> {
    await this.client.call(
      {
        what: "look for the bucket",
        method: "GET",
        query: { "list-type": "2", "max-keys": "1", prefix: this.prefix },
      },
      (answer) => readPage(answer.body),
    );
    this.hasSeenBucket = true;
  }

  /** False: the service does not offer it. */
  private async deleteMany(names: readonly string[]): Promise<boolean> {
    const body = deleteBody(names.map((name) => this.prefix + name));
    return this.client.call(
      {
        what: `delete ${names.length} objects`,
        method: "POST",
        query: { delete: "" },
        headers: {
          "content-type": "application/xml",
          "content-md5": md5Of(body).toString("base64"),
        },
        body,
      },
      (answer, asked) => {
        if (answer.status >= 300) {
          if (unoffered.has(findErrorBody(answer.body)?.code ?? "")) return false;
          throw this.client.refusal(answer, asked);
        }
        for (const { key, code, message } of readDeleteErrors(answer.body)) {
          if (code === "NoSuchKey") continue;
          throw new S3Error(
            sqlState.ioError,
            code,
            code === "InternalError" || code === "SlowDown" || code === "ServiceUnavailable",
            `the object store did not delete ${key}: ${code} ${message}`,
            { hint: "may the key delete (s3:DeleteObject), and is the object not locked?" },
          );
        }
        return true;
      },
      [400, 404, 405, 501],
    );
  }
}

/** Whether the bytes are those that were put. Raises XX001. */
function verify(answer: HttpAnswer, asked: S3Asked): void {
  const { headers, body } = answer;
  const length = headers["content-length"];
  if (length !== undefined && Number(length) !== body.length) {
    throw errorOfDamage(asked, `${body.length} bytes of ${length}`);
  }
  const sum = headers[sumHeader];
  if (sum !== undefined) {
    if (sum !== sumOf(body)) throw errorOfDamage(asked, "its SHA-256 is not that of its metadata");
    return;
  }
  // Copied here by a tool that drops metadata: the ETag of one plain PUT is the MD5, that of encryption by key is not.
  const tag = /^"?([0-9a-f]{32})"?$/.exec(headers["etag"] ?? "")?.[1];
  const isPlain =
    (headers["x-amz-server-side-encryption"] ?? "AES256") === "AES256" &&
    headers["x-amz-server-side-encryption-customer-algorithm"] === undefined;
  if (tag !== undefined && isPlain && tag !== md5Of(body).toString("hex")) {
    throw errorOfDamage(asked, "its MD5 is not that of its ETag");
  }
}

function sumOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function md5Of(bytes: Uint8Array): Buffer {
  return createHash("md5").update(bytes).digest();
}

function dateOf(wallMs: number): string {
  return new Date(wallMs).toUTCString();
}

function unordered(label: string): BorealisError {
  return new BorealisError(
    sqlState.ioError,
    `${label} does not list objects in the order of their names`,
    {
      hint: "use a general purpose bucket: Amazon's directory buckets (S3 Express) list in no order",
    },
  );
}
