import { expect, it } from "vitest";
import { volumeId } from "../base/ids.ts";
import { isSameStore } from "./index.ts";
import { s3PlaceOf } from "./s3-location.ts";
import { isSamePlace, type StorePlace } from "./store-place.ts";

const bucket = (url: string, env = {}, defaults = {}): StorePlace => ({
  kind: "bucket",
  ...s3PlaceOf(url, env, defaults),
});

it.each([
  ["a slash behind it", "s3://b-1/p", "s3://b-1/p/"],
  ["who asks", "s3://b-1/p", "s3://b-1/p?profile=ops"],
  ["regions, also one that is not known", "s3://b-1/p?region=eu-west-1", "s3://b-1/p"],
  [
    "how Amazon's host is called",
    "s3://b-1/p?endpoint=https://s3.eu-west-1.amazonaws.com",
    "s3://b-1/p",
  ],
  [
    "where the bucket stands in a request",
    "s3://b-1?endpoint=http://h",
    "s3://b-1?endpoint=http://h&pathStyle=false",
  ],
  [
    "capitals and the usual port",
    "s3://b-1?endpoint=https://H.x:443",
    "s3://b-1?endpoint=https://h.x/",
  ],
  ["TLS", "s3://b-1?endpoint=http://h:9000", "s3://b-1?endpoint=https://h:9000"],
  [
    "names of this machine",
    "s3://b-1?endpoint=http://localhost:9000",
    "s3://b-1?endpoint=http://[::1]:9000",
  ],
])("two places in S3 are not told apart by %s", (_, one, other) => {
  expect(isSamePlace(bucket(one), bucket(other))).toBe(true);
});

it.each([
  ["bucket", "s3://b-1/p", "s3://b-2/p"],
  ["capitals of a bucket", "s3://bucket/p", "s3://Bucket/p"],
  ["prefix", "s3://b-1/p", "s3://b-1/p/q"],
  ["host", "s3://b-1?endpoint=http://h", "s3://b-1?endpoint=http://i"],
  ["port", "s3://b-1?endpoint=http://127.0.0.1:9000", "s3://b-1?endpoint=http://127.0.0.1:9001"],
  ["service", "s3://b-1", "s3://b-1?endpoint=http://h"],
])("two places in S3 differ by their %s", (_, one, other) => {
  expect(isSamePlace(bucket(one), bucket(other))).toBe(false);
});

it("the endpoint of the environment, or of the profile, is that of a URL without one", () => {
  const asked = bucket("s3://b-1?endpoint=http://h:9000");
  const env = { AWS_ENDPOINT_URL: "http://h:9000" };
  expect(isSamePlace(asked, bucket("s3://b-1", env))).toBe(true);
  expect(isSamePlace(asked, bucket("s3://b-1", {}, { endpoint: "http://h:9000/" }))).toBe(true);
});

it("a folder is no bucket, and what is no store's URL is refused", async () => {
  const volume = volumeId("11111111-2222-3333-4444-555555555555");
  const env = { HOME: "/nowhere" };
  const same = (one: string, other: string) =>
    isSameStore(volume, { url: one, env }, { url: other, env });
  expect(await same("file:/b-1/p", "s3://b-1/p")).toBe(false);
  expect(await same("file:/no//where/../there/", "file:///no/there")).toBe(true);
  expect(await same("s3://b-1/p/", "s3://b-1/p")).toBe(true);
  await expect(same("file:/b-1", "b-1")).rejects.toMatchObject({ code: "22023" });
});
