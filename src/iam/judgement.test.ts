import fc from "fast-check";
import { Signer } from "@aws-sdk/rds-signer";
import { describe, expect, it } from "vitest";
import {
  endpointHosts,
  IamUsers,
  type Judgement,
  judgeToken,
  makeToken,
  skewMaxMs,
} from "./index.ts";

const accessKeyId = "BKIAEXAMPLEEXAMPLE22";
/** Of nobody. */
const secret = "made/for+the+test/only/0123456789abcdef=";
const strange = "Ann o'N\u00e9ill+*~";

/** aws-cli 1.45.11 (botocore 1.43.11): aws rds generate-db-auth-token */
const ofBotocore =
  "db.example.com:5432/?Action=connect&DBUser=Ann%20o%27N%C3%A9ill%2B%2A~&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=BKIAEXAMPLEEXAMPLE22%2F20261130%2Feu-west-1%2Frds-db%2Faws4_request&X-Amz-Date=20261130T063815Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host&X-Amz-Signature=dc4da37624792027b6824326ac62944a7c106d52c29a033bdbd5361ab61072d8";
/** The same with AWS_SESSION_TOKEN set, for user app. */
const ofSession =
  "db.example.com:5432/?Action=connect&DBUser=app&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=BKIAEXAMPLEEXAMPLE22%2F20261130%2Feu-west-1%2Frds-db%2Faws4_request&X-Amz-Date=20261130T063817Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host&X-Amz-Security-Token=tok%2Fen%3D%3D&X-Amz-Signature=256b07fa795a7f19ffef8a5bad8be279090e091f6462577b1334f35b54609a49";
/** @aws-sdk/rds-signer 3.1169.0: the signature stands before the signed headers. */
const ofSdk =
  "db.example.com:5432/?Action=connect&DBUser=Ann%20o%27N%C3%A9ill%2B%2A~&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=BKIAEXAMPLEEXAMPLE22%2F20261130%2Feu-west-1%2Frds-db%2Faws4_request&X-Amz-Date=20261130T063817Z&X-Amz-Expires=900&X-Amz-Signature=428b45699a2ec235b9f2e1c3c30c09de370abb9beac9260bba89fdabba25a281&X-Amz-SignedHeaders=host";

const users = new IamUsers().withKey("build", { id: accessKeyId, secret, createdAt: "" });
const nowMs = Date.UTC(2026, 10, 30, 12, 0, 0);
const made = { host: "db.example.com", port: 5432, user: "app", region: "eu-west-1" };

interface Differences {
  readonly user?: string;
  readonly nowMs?: number;
  readonly region?: string;
  readonly hosts?: readonly string[];
  readonly ports?: readonly number[];
  readonly users?: IamUsers;
}

function judge(token: string, of: Differences = {}): Judgement {
  const facts = {
    user: "app",
    nowMs,
    region: "eu-west-1",
    hosts: ["db.example.com"],
    ports: [5432],
  };
  const { users: known = users, ...others } = of;
  return judgeToken(token, { ...facts, ...others, findKey: (id) => known.findKey(id) });
}

function whyNot(token: string, of: Differences = {}): string {
  const judgement = judge(token, of);
  return judgement.kind === "refused" ? judgement.why : "accepted";
}

function aToken(of: Partial<Parameters<typeof makeToken>[0]> = {}): string {
  return makeToken({ ...made, accessKeyId, secret, nowMs, ...of });
}

/** When a token was made, by its own word. */
function timeOf(token: string): number {
  const parts = /X-Amz-Date=(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z/.exec(token)?.slice(1) ?? [];
  const [year = 0, month = 0, ...rest] = parts.map(Number);
  return Date.UTC(year, month - 1, ...rest);
}

/** The same parameters in another order. */
function reordered(token: string, change: (parameters: string[]) => string[]): string {
  const [head = "", query = ""] = token.split("?");
  return `${head}?${change(query.split("&")).join("&")}`;
}

/** Another value of a parameter, or none. */
function changed(token: string, name: string, value: string | undefined): string {
  return reordered(token, (parameters) =>
    parameters.flatMap((one) => {
      if (!one.startsWith(`${name}=`)) return [one];
      return value === undefined ? [] : [`${name}=${value}`];
    }),
  );
}

const accepted = { kind: "accepted", principal: "build", accessKeyId };

describe("a token that is as it should be", () => {
  it.each([
    ["botocore", ofBotocore],
    ["the SDK for JavaScript", ofSdk],
  ])("is accepted as %s makes it", (_whose, token) => {
    expect(judge(token, { user: strange, nowMs: timeOf(token) })).toEqual(accepted);
  });

  it("is made byte for byte as botocore makes it", () => {
    expect(aToken({ user: strange, nowMs: timeOf(ofBotocore) })).toBe(ofBotocore);
  });

  it("is accepted from the SDK for whatever user, host and port", async () => {
    const host = fc.constantFrom("localhost", "127.0.0.1", "a-b.c_d.example", "[::1]");
    const user = fc.string({ minLength: 1, maxLength: 63, unit: "grapheme" });
    const port = fc.integer({ min: 1, max: 65_535 });
    await fc.assert(
      fc.asyncProperty(host, port, user, async (hostname, at, username) => {
        const credentials = { accessKeyId, secretAccessKey: secret };
        const signer = new Signer({
          hostname,
          port: at,
          username,
          region: "eu-west-1",
          credentials,
        });
        const token = await signer.getAuthToken();
        const facts = { user: username, nowMs: timeOf(token), hosts: [hostname], ports: [at] };
        expect(judge(token, facts)).toEqual(accepted);
      }),
      { numRuns: 100 },
    );
  });

  it("is accepted in every order of its parameters", () => {
    const token = aToken();
    const orders = fc.shuffledSubarray([0, 1, 2, 3, 4, 5, 6, 7], { minLength: 8 });
    fc.assert(
      fc.property(orders, (order) => {
        const other = reordered(token, (all) => order.map((index) => all[index] ?? ""));
        expect(judge(other)).toEqual(accepted);
      }),
    );
  });

  it("is accepted however it is encoded, as AWS takes it", () => {
    const credential = `${accessKeyId}/20261130/eu-west-1/rds-db/aws4_request`;
    expect(judge(changed(aToken(), "X-Amz-Credential", credential))).toEqual(accepted);
    expect(judge(changed(aToken(), "DBUser", "%61pp"))).toEqual(accepted);
    expect(judge(aToken().replaceAll("%2F", "%2f"))).toEqual(accepted);
  });

  it("is accepted again and again while it lives: AWS keeps no record of tokens either", () => {
    const token = aToken();
    for (const afterMs of [0, 1, 1, 60_000, 899_999])
      expect(judge(token, { nowMs: nowMs + afterMs })).toEqual(accepted);
  });

  it("is good for every endpoint of the cluster, by each of its names", () => {
    const hosts = endpointHosts("127.0.0.1", ["db.example.com"]);
    for (const host of ["127.0.0.1", "localhost", "db.example.com"])
      for (const port of [5432, 5433])
        expect(judge(aToken({ host, port }), { hosts, ports: [5432, 5433] })).toEqual(accepted);
  });
});

describe("its time", () => {
  it("ends after 15 minutes, to the millisecond", () => {
    const token = aToken();
    expect(judge(token, { nowMs: nowMs + 899_999 })).toEqual(accepted);
    expect(whyNot(token, { nowMs: nowMs + 900_000 })).toBe(
      "The token expired at 2026-11-30T12:15:00Z; it is 2026-11-30T12:15:00Z.",
    );
    expect(whyNot(token, { nowMs: nowMs + 86_400_000 })).toMatch(/expired at 2026-11-30T12:15:00Z/);
  });

  it("may be ahead of ours by five minutes, and no more", () => {
    expect(judge(aToken({ nowMs: nowMs + skewMaxMs }))).toEqual(accepted);
    expect(whyNot(aToken({ nowMs: nowMs + skewMaxMs + 1_000 }))).toBe(
      "The token was made at 2026-11-30T12:05:01Z, and it is 2026-11-30T12:00:00Z here: a clock is wrong.",
    );
    expect(whyNot(aToken({ nowMs: nowMs + 365 * 86_400_000 }))).toMatch(/a clock is wrong/);
  });

  it.each([
    "0",
    "901",
    "1000",
    "604800",
    "-900",
    "9e2",
    "900.0",
    "0900",
    "+900",
    "%20900",
    "",
    "abc",
  ])("is refused where X-Amz-Expires is '%s'", (value) => {
    expect(whyNot(changed(aToken(), "X-Amz-Expires", value))).toMatch(
      /X-Amz-Expires is not 1 to 900|cannot be read/,
    );
  });

  it("cannot be lengthened, and may be shorter only if it was signed so", () => {
    expect(whyNot(changed(aToken(), "X-Amz-Expires", "899"))).toMatch(/signature is wrong/);
    const later = changed(aToken(), "X-Amz-Date", "20261130T120100Z");
    expect(whyNot(later)).toMatch(/signature is wrong/);
  });

  it.each([
    "20261131T000000Z",
    "20261130T240000Z",
    "20261130T1200Z",
    "2026-11-30T12:00:00Z",
    "20261201T120000Z",
    "20261130T120000",
    "00001130T120000Z",
    "",
  ])("is refused where X-Amz-Date is '%s'", (value) => {
    expect(whyNot(changed(aToken(), "X-Amz-Date", value))).toMatch(/X-Amz-Date is no time/);
  });

  it("is that of the day that the key was derived for, also at midnight", () => {
    const lastMs = Date.UTC(2026, 10, 30, 23, 59, 59);
    const token = aToken({ nowMs: lastMs });
    expect(judge(token, { nowMs: lastMs + 60_000 })).toEqual(accepted);
    expect(whyNot(token.replaceAll("20261130", "20261201"), { nowMs: lastMs })).toMatch(
      /signature is wrong/,
    );
  });
});

describe("a token for somebody or something else", () => {
  it.each<[string, Partial<typeof made>, RegExp]>([
    ["another user", { user: "bob" }, /is for user "bob"/],
    ["the user in other letters", { user: "APP" }, /is for user "APP"; upper and lower case/],
    ["a user with a blank behind", { user: "app " }, /is for user "app "/],
    [
      "another host",
      { host: "db.example.org" },
      /is for host db.example.org; this cluster's are db.example.com/,
    ],
    ["a host below ours", { host: "x.db.example.com" }, /is for host x.db/],
    ["our host with a dot behind", { host: "db.example.com." }, /is for host db.example.com\./],
    ["our host in capitals", { host: "DB.example.com" }, /in lower case/],
    ["another port", { port: 5431 }, /for port 5431/],
    ["another region", { region: "eu-west-2" }, /region eu-west-2; this cluster's is eu-west-1/],
  ])("is refused: %s, though it is signed well", (_what, wish, why) => {
    expect(whyNot(aToken(wish))).toMatch(why);
  });

  it("is refused where it was changed to be for us", () => {
    const others: [Partial<typeof made>, string, string][] = [
      [{ host: "db.example.org" }, "db.example.org", "db.example.com"],
      [{ port: 5431 }, ":5431", ":5432"],
      [{ user: "bob" }, "DBUser=bob", "DBUser=app"],
      [{ region: "eu-west-2" }, "eu-west-2", "eu-west-1"],
    ];
    for (const [wish, theirs, ours] of others)
      expect(whyNot(aToken(wish).replace(theirs, ours))).toMatch(/signature is wrong/);
  });

  it("is refused for another service, action, algorithm or headers", () => {
    const token = aToken();
    expect(whyNot(token.replace("rds-db", "s3"))).toMatch(/X-Amz-Credential is not/);
    expect(whyNot(token.replace("aws4_request", "aws5_request"))).toMatch(/X-Amz-Credential/);
    expect(whyNot(changed(token, "Action", "Connect"))).toMatch(/Action is not connect/);
    expect(whyNot(changed(token, "X-Amz-Algorithm", "AWS4-HMAC-SHA1"))).toMatch(/X-Amz-Algorithm/);
    expect(whyNot(changed(token, "X-Amz-Algorithm", "AWS4-ECDSA-P256-SHA256"))).toMatch(
      /Algorithm/,
    );
    for (const headers of ["", "host%3Bx-amz-date", "Host", "date"])
      expect(whyNot(changed(token, "X-Amz-SignedHeaders", headers))).toMatch(/SignedHeaders/);
  });
});

describe("a signature", () => {
  it("is refused with any other letter, and any other length", () => {
    const token = aToken();
    const at = token.indexOf("X-Amz-Signature=") + "X-Amz-Signature=".length;
    for (let index = at; index < token.length; index++) {
      const other = token[index] === "0" ? "1" : "0";
      expect(whyNot(token.slice(0, index) + other + token.slice(index + 1))).toMatch(/is wrong/);
    }
    for (const text of [token.slice(0, -1), `${token}0`, token.slice(0, at), token.toUpperCase()])
      expect(judge(text).kind).toBe("refused");
  });

  it("covers each parameter: one more, one less, none is let through", () => {
    const token = aToken();
    expect(whyNot(`${token}&X-Amz-Meta=1`)).toMatch(/signature is wrong/);
    expect(whyNot(`${token}&x-amz-expires=900`)).toMatch(/signature is wrong/);
    for (const [name = ""] of new URL(`http://${token}`).searchParams)
      expect(judge(changed(token, name, undefined)).kind, name).toBe("refused");
  });

  it("of another secret, or of a key that was deleted, is refused", () => {
    expect(whyNot(aToken({ secret: `${secret}=` }))).toMatch(/another secret key/);
    expect(whyNot(aToken({ secret: "" }))).toMatch(/another secret key/);
    const without = users.withoutKey(accessKeyId);
    expect(whyNot(aToken(), { users: without })).toMatch(/There is no access key BKIAEXAMPLE/);
    // Nor does the secret that stands in for an unknown key's open anything.
    expect(whyNot(aToken({ secret: "" }), { users: without })).toMatch(/There is no access key/);
    expect(whyNot(aToken({ accessKeyId: "AKIAOTHER" }))).toMatch(/no access key AKIAOTHER/);
  });

  it("of a session's credentials is refused, and says what to unset", () => {
    expect(whyNot(ofSession, { nowMs: timeOf(ofSession) })).toMatch(/unset AWS_SESSION_TOKEN/);
  });
});

describe("a policy", () => {
  const may = (...patterns: string[]): IamUsers => users.withPolicy("build", patterns);

  it("names whom a principal may connect as; without one it is every user", () => {
    expect(judge(aToken(), { users: may("app") })).toEqual(accepted);
    expect(judge(aToken(), { users: may("other", "a*") })).toEqual(accepted);
    expect(judge(aToken(), { users: users.withPolicy("build", null) })).toEqual(accepted);
    for (const patterns of [["APP"], ["app2"], ["ap"], ["b*"], []])
      expect(whyNot(aToken(), { users: may(...patterns) })).toBe(
        "The policy of IAM user build does not name this user.",
      );
  });
});

describe("what is no token", () => {
  it.each([
    ["a password", "correct horse battery staple"],
    ["a password with a question mark", "why:1?"],
    ["a URL", `https://${"db.example.com:5432/"}`],
    ["a token with its scheme", `https://${aToken()}`],
    ["a token with a user in it", `app@${aToken()}`],
    ["a fragment", `#${aToken()}`],
    ["a path", aToken().replace("/?", "/x?")],
    ["no port", aToken().replace(":5432", "")],
    ["a port of six digits", aToken().replace(":5432", ":054320")],
    ["port 0", aToken().replace(":5432", ":0")],
    ["a port beyond all", aToken().replace(":5432", ":65536")],
    ["no host", aToken().replace("db.example.com", "")],
    ["a host in brackets that is none", aToken().replace("db.example.com", "[db]")],
    ["two hosts", `db.example.com:5432/?${aToken()}`],
    ["a line break behind", `${aToken()}\n`],
    ["a line break in it", aToken().replace("&", "&\r\n")],
    ["a zero byte", aToken().replace("app", "app\0")],
    ["letters of elsewhere", aToken().replace("app", "\u0430pp")],
    ["a parameter without a value", `${aToken()}&x`],
    ["a parameter without a name", `${aToken()}&=1`],
    ["an empty parameter", `${aToken()}&`],
    ["a parameter twice", `${aToken()}&DBUser=app`],
    ["a parameter twice, encoded otherwise", `${aToken()}&D%42User=postgres`],
    ["two signatures", `${aToken()}&X-Amz-Signature=${"0".repeat(64)}`],
    ["half an escape", changed(aToken(), "DBUser", "app%4")],
    ["an escape of no digits", changed(aToken(), "DBUser", "%zz")],
    ["escapes that are no UTF-8", changed(aToken(), "DBUser", "%ff")],
    ["half of a pair", changed(aToken(), "DBUser", "%ed%a0%80")],
    ["an overlong letter", changed(aToken(), "DBUser", "%c1%a1pp")],
    ["a plus, which may mean a blank", changed(aToken(), "DBUser", "app+x")],
    ["an empty user", changed(aToken(), "DBUser", "")],
    ["semicolons", aToken().replaceAll("&", ";")],
    [
      "a credential of six parts",
      changed(aToken(), "X-Amz-Credential", "a/b/20261130/eu-west-1/rds-db/aws4_request"),
    ],
    [
      "too many parameters",
      `${aToken()}${Array.from({ length: 25 }, (_, at) => `&x${at}=1`).join("")}`,
    ],
  ])("is refused: %s", (_what, text) => {
    const why = whyNot(text);
    expect(why).not.toBe("accepted");
    expect(why).not.toMatch(/signature is wrong/);
  });

  it("is refused when it is empty, or longer than any token", () => {
    expect(whyNot("")).toMatch(/empty/);
    expect(whyNot(`${aToken()}&x=${"a".repeat(16_384)}`)).toMatch(/longer than a token may be/);
    expect(whyNot("&".repeat(60_000))).toMatch(/longer/);
    expect(whyNot(`${aToken()}\n`)).toMatch(/line breaks/);
  });

  it("is never repeated in the reason, nor is a signature or a secret", () => {
    const texts = [
      "hunter2",
      "hunter2:5432/?hunter2",
      `hunter2:5432/?${"hunter2=hunter2&".repeat(3)}`,
      changed(aToken(), "X-Amz-Credential", "hunter2"),
      changed(aToken(), "Action", "hunter2"),
      changed(aToken(), "X-Amz-Signature", "hunter2"),
      `${aToken()}&hunter2`,
      `${aToken()}&hunter2=1`,
    ];
    for (const text of texts) expect(whyNot(text)).not.toMatch(/hunter2|accepted/);
    const signature = /[0-9a-f]{64}/;
    for (const text of [...texts, aToken({ user: "bob" }), aToken({ secret: "x" })]) {
      expect(whyNot(text)).not.toMatch(signature);
      expect(whyNot(text)).not.toContain(secret);
    }
  });

  it("shows letters that would end or turn a line as question marks", () => {
    const why = whyNot(aToken({ user: "a\0b\nc\u202ed\u2028e" }));
    expect(why).toContain('for user "a?b?c?d?e"');
    expect(whyNot(aToken({ user: "x".repeat(2_000) })).length).toBeLessThan(200);
  });

  it("never makes it raise, whatever it is", () => {
    const pieces = fc.constantFrom(...aToken().split(/(?<=[&?=%])/), "%", "&", "\0", "=", "//");
    const hostile = fc.oneof(
      fc.string(),
      fc.array(pieces, { maxLength: 40 }).map((all) => all.join("")),
    );
    fc.assert(fc.property(hostile, (text) => judge(text).kind === "refused" || text === aToken()));
  });
});
