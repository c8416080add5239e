import { describe, expect, it } from "vitest";
import { openLogger } from "../io/index.ts";
import { endpointHosts } from "./endpoint-hosts.ts";
import { IamUsers, makeToken, newAccessKey, TokenJudge } from "./index.ts";
import { matchesName } from "./name-pattern.ts";

const key = (id: string) => ({ id, secret: `secret of ${id}`, createdAt: "2026-11-30T12:00:00Z" });

describe("names with stars", () => {
  it.each<[string, string, boolean]>([
    ["app", "app", true],
    ["app", "App", false],
    ["app", "app2", false],
    ["*", "", true],
    ["*", "anything", true],
    ["a*", "a", true],
    ["a*z", "a-to-z", true],
    ["a*z", "a-to-zz", true],
    ["a*z", "a-to-y", false],
    ["*app*", "my app here", true],
    ["a?c", "abc", true],
    ["a?c", "ac", false],
    ["?", "\u{1f418}", true],
    ["a*b*c", "a-c-b-c", true],
    ["a*b*c", "a-c-b", false],
    ["", "", true],
    ["", "a", false],
    ["a.c", "abc", false],
    ["[a]", "a", false],
  ])("%s and %s: %s", (pattern, name, isMatch) => {
    expect(matchesName(pattern, name)).toBe(isMatch);
  });

  it("take no time of their own", () => {
    expect(matchesName(`${"*a".repeat(31)}b`, "a".repeat(63))).toBe(false);
  });
});

describe("the book of principals", () => {
  it("gives and takes keys, two at most, and keeps what a user may when the last key goes", () => {
    let users = new IamUsers()
      .withKey("ci", key("A"))
      .withKey("ci", key("B"))
      .withKey("app", key("C"));
    expect(users.all.map(({ name }) => name)).toEqual(["app", "ci"]);
    expect(() => users.withKey("ci", key("D"))).toThrow(/has 2 access keys/);
    users = users.withPolicy("ci", ["report_*"]).withoutKey("A").withoutKey("B");
    expect(users.findKey("A")).toBeUndefined();
    expect(users.findUser("ci")).toEqual({ name: "ci", dbUsers: ["report_*"], keys: [] });
    users = users.withKey("ci", key("D"));
    expect(users.findKey("D")?.owner.dbUsers).toEqual(["report_*"]);
    users = users.withoutUser("ci");
    expect(users.findKey("D")).toBeUndefined();
    expect(() => users.withoutUser("ci")).toThrow(/no IAM user ci/);
    expect(() => users.withoutKey("D")).toThrow(/no access key D/);
  });

  it("is the same after a round through its file, and nothing else is taken for it", () => {
    const users = new IamUsers().withKey("ci", key("A")).withPolicy("app", ["a"]);
    expect(IamUsers.parse(users.encode()).all).toEqual(users.all);
    const damaged = ["", "{}", users.encode().slice(0, -10), '{"format":2,"users":[]}', "[]"];
    for (const text of damaged) {
      expect(() => IamUsers.parse(text)).toThrow("the file of access keys cannot be used");
    }
  });

  it.each(["", "a b", "a/b", "a\n", "\u00e9", "x".repeat(65)])("has no user '%s'", (name) => {
    expect(() => new IamUsers().withKey(name, key("A"))).toThrow(/cannot be the name/);
  });

  it("has no policy of what no user can be called", () => {
    for (const dbUsers of [[""], ["a\0"], ["x".repeat(64)], Array.from({ length: 101 }, () => "a")])
      expect(() => new IamUsers().withPolicy("ci", dbUsers)).toThrow(/a policy names/);
  });

  it("has keys of AWS's lengths that are not AWS's", () => {
    const made = newAccessKey(Buffer.from(Array.from({ length: 46 }, (_, at) => at * 7)), "");
    expect(made.id).toMatch(/^BKIA[A-Z2-7]{16}$/);
    expect(made.secret).toMatch(/^[A-Za-z0-9+/]{40}$/);
  });
});

describe("hosts of tokens", () => {
  it.each<[string, string[], string[]]>([
    ["127.0.0.1", [], ["127.0.0.1", "localhost"]],
    ["localhost", [], ["localhost", "127.0.0.1"]],
    ["::1", [], ["[::1]", "localhost"]],
    ["0.0.0.0", ["DB.example.com"], ["localhost", "127.0.0.1", "db.example.com"]],
    ["::", ["fd00::1"], ["localhost", "[::1]", "127.0.0.1", "[fd00::1]"]],
    ["10.1.2.3", [], ["10.1.2.3"]],
    ["127.evil.example", [], ["127.evil.example"]],
  ])("%s and %j are %j", (host, others, names) => {
    expect(endpointHosts(host, others)).toEqual(names);
  });
});

describe("the judge", () => {
  const nowMs = Date.UTC(2026, 10, 30, 12);
  const logger = openLogger({ file: undefined, process: "test", level: "silent" });
  const token = makeToken({
    host: "localhost",
    port: 5432,
    user: "app",
    region: "us-east-1",
    accessKeyId: "A",
    secret: "secret of A",
    nowMs,
  });
  const judgeBy = (read: () => string | undefined): TokenJudge =>
    new TokenJudge({
      file: "users.json",
      files: { read },
      clock: { wallMs: () => nowMs },
      logger,
      region: "us-east-1",
      hosts: ["localhost"],
      ports: () => [5432],
    });
  const kindOf = (judge: TokenJudge): string => judge.judge({ token, user: "app" }).kind;

  it("sees keys come and go with the file, and lets nobody in by one that it cannot read", () => {
    const withKey = new IamUsers().withKey("ci", key("A"));
    let text: string | undefined;
    const judge = judgeBy(() => {
      if (text === "others may read it") throw new Error(text);
      return text;
    });
    expect(kindOf(judge)).toBe("refused");
    text = withKey.encode();
    expect(kindOf(judge)).toBe("accepted");
    for (const bad of [
      "",
      "{",
      "others may read it",
      withKey.withoutKey("A").encode(),
      undefined,
    ]) {
      text = bad;
      expect(kindOf(judge), bad).toBe("refused");
      text = withKey.encode();
      expect(kindOf(judge)).toBe("accepted");
    }
  });
});
