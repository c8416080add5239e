import { createHash } from "node:crypto";
import type { S3Client } from "./s3-client-shell.ts";
import { eachLimited } from "./s3-each-shell.ts";
import { S3Error } from "./s3-errors.ts";
import { completeBody, readUploadId } from "./s3-xml.ts";

export interface PartsPlace {
  readonly client: S3Client;
  /** For error texts. */
  readonly what: string;
  readonly key: string;
  readonly partBytes: number;
  readonly callsMax: number;
}

export interface PartsContent {
  readonly bytes: Uint8Array;
  /** Headers of the object as a whole: its type and metadata. */
  readonly facts: Readonly<Record<string, string>>;
  /** Headers under which alone it may come to be. */
  readonly conditions: Readonly<Record<string, string>>;
  /** Whether the object is there with just these bytes. */
  readonly isThere: () => Promise<boolean>;
}

/** Services take no more parts. */
const partsMax = 10_000;

/**
 * Puts one object in parts. Nothing is to be seen of it before the last step; a failure takes the parts away again. If this
 * process dies they stay: a lifecycle rule of the bucket (AbortIncompleteMultipartUpload) is for these.
 */
export async function putInParts(place: PartsPlace, content: PartsContent): Promise<void> {
  const { client, key } = place;
  const uploadId = await client.call(
    {
      what: `${place.what}: begin`,
      method: "POST",
      key,
      query: { uploads: "" },
      headers: content.facts,
    },
    (answer) => readUploadId(answer.body),
  );
  try {
    const tags = await putParts(place, uploadId, content.bytes);
    await complete(place, uploadId, tags, content);
  } catch (error) {
    await client
      .call(
        { what: `${place.what}: abort`, method: "DELETE", key, query: { uploadId } },
        () => undefined,
        [404],
      )
      // What went wrong before is what the caller has to know.
      .catch((second: unknown) => {
        if (!(second instanceof S3Error)) throw second;
      });
    throw error;
  }
}

async function putParts(
  place: PartsPlace,
  uploadId: string,
  bytes: Uint8Array,
): Promise<readonly string[]> {
  const size = Math.max(place.partBytes, Math.ceil(bytes.length / partsMax));
  const parts = Array.from({ length: Math.ceil(bytes.length / size) }, (_, at) =>
    bytes.subarray(at * size, (at + 1) * size),
  );
  const tags: string[] = [];
  await eachLimited(parts, place.callsMax, async (body, at) => {
    tags[at] = await place.client.call(
      {
        what: `${place.what}: part ${at + 1} of ${parts.length}`,
        method: "PUT",
        key: place.key,
        query: { partNumber: String(at + 1), uploadId },
        headers: { "content-md5": createHash("md5").update(body).digest("base64") },
        body,
      },
      (answer) => answer.headers["etag"] ?? "",
    );
  });
  return tags;
}

async function complete(
  place: PartsPlace,
  uploadId: string,
  tags: readonly string[],
  content: PartsContent,
): Promise<void> {
  try {
    await place.client.call(
      {
        what: `${place.what}: complete`,
        method: "POST",
        key: place.key,
        query: { uploadId },
        headers: { "content-type": "application/xml", ...content.conditions },
        body: completeBody(tags),
      },
      () => undefined,
    );
  } catch (error) {
    // Where the answer to an earlier attempt was lost, the upload is over because it is done. Services should say
    // NoSuchUpload then, but not all do.
    const isThere = await content.isThere().catch(() => false);
    if (!isThere) throw error;
  }
}
