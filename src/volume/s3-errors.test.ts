import { describe, expect, it } from "vitest";
import { errorOfConnection, errorOfRefusal } from "./s3-errors.ts";
import { parseS3Url } from "./s3-location.ts";

const asked = {
  location: parseS3Url("s3://bucket/p?endpoint=https://h:9000&region=here", {}),
  credentials: { accessKeyId: "AKIA", secretAccessKey: "hidden", source: "AWS_ACCESS_KEY_ID" },
  what: "put x",
};

function refusal(status: number, code?: string, headers: Record<string, string> = {}) {
  const body = code === undefined ? undefined : { code, message: "m" };
  return errorOfRefusal(asked, { status, headers, body, wallMs: Date.UTC(2026, 0, 1) });
}

describe("what an S3 service's refusals mean", () => {
  it.each([
    [403, "InvalidAccessKeyId", "58030", false, "does not take the key AKIA"],
    [403, "SignatureDoesNotMatch", "58030", false, "does not take the key AKIA"],
    [403, "AccessDenied", "58030", false, "may not do this"],
    [403, undefined, "58030", false, "may not do this"],
    [400, "ExpiredToken", "58030", false, "session token is no longer good"],
    [404, "NoSuchBucket", "58030", false, "there is no bucket bucket"],
    [301, "PermanentRedirect", "58030", false, "not in region here"],
    [400, "AuthorizationHeaderMalformed", "58030", false, "not in region here"],
    [507, undefined, "53100", false, "is full"],
    [403, "QuotaExceeded", "53100", false, "is full"],
    [400, "EntityTooLarge", "53100", false, "is full"],
    [503, "SlowDown", "58030", true, "not well"],
    [502, undefined, "58030", true, "not well"],
    [429, undefined, "58030", true, "not well"],
    [400, "RequestTimeout", "58030", true, "not well"],
    [400, "BadDigest", "58030", true, "not well"],
    [501, "NotImplemented", "58030", false, "refuses"],
    [400, "InvalidArgument", "58030", false, "refuses"],
  ] as const)("%i %s", (status, code, state, isPassing, words) => {
    const error = refusal(status, code);
    expect([error.code, error.isPassing]).toEqual([state, isPassing]);
    expect(error.message).toContain(words);
    expect(error.message).toContain("put x");
    expect(error.hint).toBeTruthy();
    expect([error.message, error.hint, error.detail].join()).not.toContain("hidden");
  });

  it("say where the bucket is, if the service does", () => {
    const error = refusal(301, "PermanentRedirect", { "x-amz-bucket-region": "eu-west-1" });
    expect(error.hint).toBe("write region=eu-west-1");
  });

  it("say by how much clocks differ", () => {
    const headers = { date: "Thu, 01 Jan 2026 01:30:00 GMT" };
    const error = refusal(403, "RequestTimeTooSkewed", headers);
    expect(error.message).toContain("clock is 90 minutes behind the object store's");
    expect(refusal(403, "RequestTimeTooSkewed").message).toContain("clock is not that of");
  });

  it("keep the service's request id", () => {
    expect(refusal(500, "InternalError", { "x-amz-request-id": "id-1" }).detail).toContain("id-1");
  });
});

describe("what a failed connection means", () => {
  it.each([
    ["ECONNREFUSED", true, "cannot be reached"],
    ["ENOTFOUND", true, "cannot be reached"],
    ["ETIMEDOUT", true, "cannot be reached"],
    ["ECONNRESET", true, "cannot be reached"],
    ["DEPTH_ZERO_SELF_SIGNED_CERT", false, "no trusted TLS"],
    ["ERR_TLS_CERT_ALTNAME_INVALID", false, "no trusted TLS"],
    ["EMSGSIZE", false, "more than was ever put"],
  ])("%s", (code, isPassing, words) => {
    const error = errorOfConnection(asked, Object.assign(new Error("m"), { code }));
    expect([error.code, error.isPassing, error.reason]).toEqual(["58030", isPassing, code]);
    expect(error.message).toContain(words);
    expect(error.message).toContain("https://h:9000");
  });
});
