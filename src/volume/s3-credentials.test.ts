import { describe, expect, it } from "vitest";
import { credentialsFromEnv, credentialsFromProfile, readAwsProfile } from "./s3-credentials.ts";

const config = `# a comment
[default]
region = eu-west-1
s3 =
    addressing_style = path
    region = nested
[profile ops]
region=us-west-2
endpoint_url = https://objects.example:9000
aws_access_key_id = FROMCONFIG
[profile opsx]
region = wrong
`;
const credentialsText = `[default]\r
aws_access_key_id = AKIADEFAULT\r
aws_secret_access_key = a/b+c=d=\r
; [ops]
[ ops ]
aws_access_key_id=AKIAOPS
AWS_SECRET_ACCESS_KEY = secret # not a comment
aws_session_token = token
`;

describe("AWS's files", () => {
  it("give the default profile, without what is nested in it", () => {
    const profile = readAwsProfile("default", config, credentialsText);
    expect(profile.get("region")).toBe("eu-west-1");
    expect(credentialsFromProfile("default", profile)).toEqual({
      accessKeyId: "AKIADEFAULT",
      secretAccessKey: "a/b+c=d=",
      source: "profile default",
    });
  });

  it("give a named one, the credentials file before the other", () => {
    const profile = readAwsProfile("ops", config, credentialsText);
    expect(profile.get("region")).toBe("us-west-2");
    expect(profile.get("endpoint_url")).toBe("https://objects.example:9000");
    expect(credentialsFromProfile("ops", profile)).toEqual({
      accessKeyId: "AKIAOPS",
      secretAccessKey: "secret # not a comment",
      sessionToken: "token",
      source: "profile ops",
    });
  });

  it("give nothing for a profile that is not there, or has no keys", () => {
    expect(readAwsProfile("nobody", config, credentialsText).size).toBe(0);
    expect(readAwsProfile("default", "", "").size).toBe(0);
    const profile = readAwsProfile("opsx", config, credentialsText);
    expect(credentialsFromProfile("opsx", profile)).toBeUndefined();
  });
});

describe("the environment", () => {
  it("gives keys only as a pair", () => {
    const keys = { AWS_ACCESS_KEY_ID: "A", AWS_SECRET_ACCESS_KEY: "S" };
    expect(credentialsFromEnv(keys)).toEqual({
      accessKeyId: "A",
      secretAccessKey: "S",
      source: "AWS_ACCESS_KEY_ID",
    });
    expect(credentialsFromEnv({ ...keys, AWS_SESSION_TOKEN: "T" })?.sessionToken).toBe("T");
    expect(credentialsFromEnv({ ...keys, AWS_SECRET_ACCESS_KEY: "" })).toBeUndefined();
    expect(credentialsFromEnv({})).toBeUndefined();
  });
});
