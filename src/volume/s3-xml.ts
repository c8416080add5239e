import { parseXml, type XmlElement } from "@rgrove/parse-xml";
import { BorealisError, sqlState } from "../base/errors.ts";

/** What a service says when it refuses; `region` where the bucket lies elsewhere. */
export interface S3ErrorBody {
  readonly code: string;
  readonly message: string;
  readonly region?: string;
}

export interface S3Page {
  readonly objects: readonly { key: string; sizeBytes: number; putAtMs: number }[];
  /** Undefined: it was the last page. */
  readonly next: string | undefined;
}

/** Undefined: no XML, or not an error (proxies answer with pages of HTML, HEAD with nothing at all). */
export function findErrorBody(body: Buffer): S3ErrorBody | undefined {
  const root = findRoot(body);
  return root?.name === "Error" ? errorFrom(root) : undefined;
}

/** A page of ListObjectsV2. Raises 58030 for anything else. */
export function readPage(body: Buffer): S3Page {
  const root = rootNamed("ListBucketResult", body);
  const next = textOf(root, "NextContinuationToken");
  if (textOf(root, "IsTruncated") === "true" && next === undefined) throw strange("no next page");
  const objects = childrenOf(root, "Contents").map((entry) => {
    const key = textOf(entry, "Key") ?? "";
    const sizeBytes = Number(textOf(entry, "Size") ?? Number.NaN);
    const putAtMs = Date.parse(textOf(entry, "LastModified") ?? "");
    if (key === "" || !Number.isSafeInteger(sizeBytes) || Number.isNaN(putAtMs)) {
      throw strange(`an entry without key, size or time`);
    }
    return { key, sizeBytes, putAtMs };
  });
  return { objects, next: textOf(root, "IsTruncated") === "true" ? next : undefined };
}

/** Raises 58030 for what is no answer to CreateMultipartUpload. */
export function readUploadId(body: Buffer): string {
  const id = textOf(rootNamed("InitiateMultipartUploadResult", body), "UploadId");
  if (id === undefined) throw strange("an upload without an id");
  return id;
}

/** Keys that DeleteObjects could not delete, and why. Raises 58030 for anything else. */
export function readDeleteErrors(body: Buffer): (S3ErrorBody & { readonly key: string })[] {
  return childrenOf(rootNamed("DeleteResult", body), "Error").map((entry) => ({
    ...errorFrom(entry),
    key: textOf(entry, "Key") ?? "",
  }));
}

export function deleteBody(keys: readonly string[]): Buffer {
  const objects = keys.map((key) => `<Object><Key>${escape(key)}</Key></Object>`).join("");
  return document("Delete", `<Quiet>true</Quiet>${objects}`);
}

/** `tags`: the parts' ETags as they came, from the first part on. */
export function completeBody(tags: readonly string[]): Buffer {
  const parts = tags.map(
    (tag, at) => `<Part><PartNumber>${at + 1}</PartNumber><ETag>${escape(tag)}</ETag></Part>`,
  );
  return document("CompleteMultipartUpload", parts.join(""));
}

function document(name: string, inside: string): Buffer {
  const space = "http://s3.amazonaws.com/doc/2006-03-01/";
  return Buffer.from(
    `<?xml version="1.0" encoding="UTF-8"?><${name} xmlns="${space}">${inside}</${name}>`,
  );
}

function escape(text: string): string {
  return text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}

function findRoot(body: Buffer): XmlElement | undefined {
  try {
    return parseXml(body.toString("utf8").trim()).root ?? undefined;
  } catch {
    return undefined;
  }
}

function rootNamed(name: string, body: Buffer): XmlElement {
  const root = findRoot(body);
  if (root?.name === name) return root;
  throw strange(root ? `<${root.name}>, not <${name}>` : `what is no XML, not <${name}>`);
}

function strange(what: string): BorealisError {
  return new BorealisError(sqlState.ioError, `the object store answered with ${what}`, {
    hint: "is the endpoint that of an S3 service, without a proxy that answers in its place?",
  });
}

function errorFrom(element: XmlElement): S3ErrorBody {
  const region = textOf(element, "Region");
  return {
    code: textOf(element, "Code") ?? "",
    message: textOf(element, "Message") ?? "",
    ...(region !== undefined && { region }),
  };
}

function childrenOf(parent: XmlElement, name: string): XmlElement[] {
  return parent.children.filter(
    (node): node is XmlElement => node.type === "element" && (node as XmlElement).name === name,
  );
}

/** Undefined: no such element, or an empty one. */
function textOf(parent: XmlElement, name: string): string | undefined {
  return childrenOf(parent, name)[0]?.text || undefined;
}
