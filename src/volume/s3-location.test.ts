import { describe, expect, it } from "vitest";
import { parseS3Url, s3ProfileOf } from "./s3-location.ts";

const region = { AWS_REGION: "eu-central-1" };

describe("the URL of an S3 store", () => {
  it("with nothing but a bucket is Amazon's, in the region of the environment", () => {
    expect(parseS3Url("s3://my-bucket", region)).toEqual({
      bucket: "my-bucket",
      prefix: "",
      endpoint: new URL("https://s3.eu-central-1.amazonaws.com"),
      region: "eu-central-1",
      isPathStyle: false,
    });
  });

  it("says everything itself if it likes", () => {
    const url = "s3://b_1/a/b-c/?endpoint=http://127.0.0.1:9000&region=here&pathStyle=false";
    expect(parseS3Url(url, region)).toEqual({
      bucket: "b_1",
      prefix: "a/b-c/",
      endpoint: new URL("http://127.0.0.1:9000"),
      region: "here",
      isPathStyle: false,
    });
  });

  it.each([
    ["the URL first", { endpoint: "http://u" }, "http://u/"],
    ["then S3's variable", {}, "http://s3/"],
  ])("takes the endpoint from %s", (_, query, expected) => {
    const env = { AWS_ENDPOINT_URL_S3: "http://s3", AWS_ENDPOINT_URL: "http://all" };
    const url = `s3://bucket?${new URLSearchParams(query).toString()}`;
    expect(parseS3Url(url, env, { endpoint: "http://p" }).endpoint.href).toBe(expected);
  });

  it("takes empty variables for none, and the profile last", () => {
    const env = { AWS_ENDPOINT_URL_S3: "", AWS_ENDPOINT_URL: "", AWS_REGION: "" };
    const found = parseS3Url("s3://bucket", env, { endpoint: "https://p:1", region: "r-1" });
    expect([found.endpoint.href, found.region]).toEqual(["https://p:1/", "r-1"]);
  });

  it("knows a region for any endpoint but Amazon's", () => {
    expect(parseS3Url("s3://bucket?endpoint=http://h", {}).region).toBe("us-east-1");
    expect(() => parseS3Url("s3://bucket", {})).toThrow("the region is not known");
    expect(parseS3Url("s3://bucket", { AWS_REGION: "cn-north-1" }).endpoint.host).toBe(
      "s3.cn-north-1.amazonaws.com.cn",
    );
  });

  it("puts the bucket into the path at other services, and where a dot would break TLS", () => {
    expect(parseS3Url("s3://bucket?endpoint=http://h", {}).isPathStyle).toBe(true);
    expect(parseS3Url("s3://a.bucket", region).isPathStyle).toBe(true);
    expect(parseS3Url("s3://bucket", region).isPathStyle).toBe(false);
  });

  it("names a profile", () => {
    expect(s3ProfileOf("s3://bucket?profile=ops")).toBe("ops");
    expect(s3ProfileOf("s3://bucket")).toBeUndefined();
  });

  it.each([
    ["bucket/prefix", "it is no URL"],
    ["https://bucket/prefix", "it begins with https:"],
    ["s3:///prefix", "nothing is no bucket's name"],
    ["s3://b", "b is no bucket's name"],
    ["s3://key:secret@bucket", "keys have no place in it"],
    ["s3://bucket/a b", "more than letters"],
    ["s3://bucket/a//b", "more than letters"],
    ["s3://bucket/.hidden", "more than letters"],
    ["s3://bucket?endpiont=http://h", "endpiont is not among"],
    ["s3://bucket?endpoint=h:9000", "neither http:// nor https://"],
    ["s3://bucket?endpoint=http://h/path", "more than a scheme"],
    ["s3://bucket?endpoint=http://k:s@h", "more than a scheme"],
    ["s3://bucket?pathStyle=yes", "pathStyle is true or false"],
    ["s3://bucket?region=a/b", "a/b is no region"],
    ["s3://bucket#part", "it has a #"],
  ])("is not %s", (url, why) => {
    expect(() => parseS3Url(url, region)).toThrow(why);
  });
});
