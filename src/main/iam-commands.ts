import { present } from "../base/assert.ts";
import { BorealisError, sqlState } from "../base/errors.ts";
import type { Layout } from "../cluster/index.ts";
import { endpointHosts, type IamUser, makeToken, newAccessKey } from "../iam/index.ts";
import { realClock, realEntropy } from "../io/index.ts";
import type { CommandReport, Workplace } from "./command-report.ts";
import { type Options, printJson, readReport, requireCluster, stateOf } from "./commands.ts";
import { environment } from "./environment.ts";
import { resolveSettings, type Settings } from "./config.ts";
import { changeIamUsers, readIamUsers } from "./iam-book.ts";
import { print, printTable } from "./print.ts";
import { findEndpoint, reachableHost } from "./urls.ts";

/**
 * One key more for a principal, who is made if need be. Its secret is told this once. `dbUsers`: as which users of PostgreSQL's the
 * principal may connect from now on; null: as before.
 */
export async function accessKeyCreate(
  { layout }: Pick<Workplace, "layout">,
  name: string,
  dbUsers: readonly string[] | null,
): Promise<CommandReport> {
  stateOf(layout);
  // Before there is a key: its secret is told once.
  const isOff = settingsOf(layout)["iam.enabled"] === "off";
  const key = newAccessKey(realEntropy.bytes(46), new Date(realClock.wallMs()).toISOString());
  const users = await changeIamUsers(layout, (before) => {
    const after = before.withKey(name, key);
    return dbUsers === null ? after : after.withPolicy(name, dbUsers);
  });
  const user = users.requireUser(name);
  const { id: accessKeyId, secret: secretAccessKey, createdAt } = key;
  const document = { userName: name, accessKeyId, secretAccessKey, createdAt };
  // For people, beside what a shell may take over: all of it can be given to eval.
  const lines = [
    `export AWS_ACCESS_KEY_ID=${key.id}`,
    `export AWS_SECRET_ACCESS_KEY=${key.secret}`,
    `# of IAM user ${name}, who may connect as ${whom(user)}; the secret is not shown again`,
  ];
  if (isOff)
    lines.push(
      "# tokens are taken once iam.enabled is on: borealis config iam.enabled on, and start again",
    );
  return { document: { ...document, dbUsers: user.dbUsers }, lines };
}

/** Shows who has which keys, without a secret. */
export async function listAccessKeys(options: Options & { userName?: string }): Promise<void> {
  const { layout } = requireCluster(options);
  const { userName } = options;
  const book = readIamUsers(layout);
  const users = userName === undefined ? book.all : [book.requireUser(userName)];
  if (options.json)
    return printJson(
      users.map(({ name, dbUsers, keys }) => ({
        userName: name,
        dbUsers,
        accessKeys: keys.map(({ id, createdAt }) => ({ accessKeyId: id, createdAt })),
      })),
    );
  if (users.length === 0) return print("there are none; borealis iam create-access-key makes one");
  printTable(
    ["IAM USER", "ACCESS KEY", "CREATED", "MAY CONNECT AS"],
    users.flatMap((user) => {
      const keys = user.keys.length > 0 ? user.keys : [{ id: "-", createdAt: "-" }];
      return keys.map((key) => [user.name, key.id, key.createdAt, whom(user)]);
    }),
  );
}

/** Tokens of it are refused from now on; sessions that are open go on. */
export async function accessKeyDelete(
  { layout }: Pick<Workplace, "layout">,
  id: string,
): Promise<CommandReport> {
  stateOf(layout);
  await changeIamUsers(layout, (users) => users.withoutKey(id));
  const line = `${id} is deleted: its tokens are refused from now on, sessions that are open go on`;
  return { document: { deleted: id }, lines: [line] };
}

/** Which users of PostgreSQL's a principal may connect as; null: every one. */
export async function putUserPolicy(
  name: string,
  dbUser: string | null,
  options: Options,
): Promise<void> {
  const { layout } = requireCluster(options);
  const dbUsers = dbUser === null ? null : namesIn(dbUser);
  const users = await changeIamUsers(layout, (before) => {
    // To be allowed everything is nothing that a new user would be made for.
    if (dbUsers === null) before.requireUser(name);
    return before.withPolicy(name, dbUsers);
  });
  const user = users.requireUser(name);
  if (options.json) printJson({ userName: name, dbUsers: user.dbUsers });
  else print(`IAM user ${name} may connect as ${whom(user)}`);
}

/** With its keys and its policy. */
export async function deleteUser(name: string, options: Options): Promise<void> {
  const { layout } = requireCluster(options);
  await changeIamUsers(layout, (users) => users.withoutUser(name));
  if (options.json) printJson({ deleted: name });
  else print(`IAM user ${name} is deleted, with its access keys`);
}

export interface TokenOptions extends Options {
  readonly username: string;
  readonly userName?: string;
  readonly endpoint: string;
  readonly region?: string;
}

/** Prints a token, as the AWS CLI would make it of the same key. */
export async function generateDbAuthToken(options: TokenOptions): Promise<void> {
  const { layout } = requireCluster(options);
  const settings = settingsOf(layout);
  const report = await readReport(options);
  const endpoint = findEndpoint(report, options.endpoint);
  if (!endpoint)
    throw new BorealisError(sqlState.invalidParameter, `there is no endpoint ${options.endpoint}`, {
      hint: "borealis status shows which there are",
    });
  const key = keyFor(layout, options.userName);
  const token = makeToken({
    host: present(endpointHosts(reachableHost(endpoint.host), [])[0], "an endpoint has a name"),
    port: endpoint.port,
    user: options.username,
    region: options.region ?? settings["iam.region"],
    accessKeyId: key.id,
    secret: key.secret,
    nowMs: realClock.wallMs(),
  });
  if (options.json) printJson({ token });
  else print(token);
}

/** The newest of a principal's keys; of the only one that has any, unless told whose. */
function keyFor(layout: Layout, userName: string | undefined): IamUser["keys"][number] {
  const book = readIamUsers(layout);
  const all = userName === undefined ? book.all : [book.requireUser(userName)];
  const users = all.filter(({ keys }) => keys.length > 0);
  const [first] = users;
  const key = first?.keys.at(-1);
  if (users.length === 1 && key) return key;
  throw new BorealisError(
    sqlState.notInPrerequisiteState,
    users.length === 0 ? "there is no access key" : "more than one IAM user has access keys",
    { hint: users.length === 0 ? "borealis iam create-access-key" : "say whose: --user-name" },
  );
}

function whom({ dbUsers }: IamUser): string {
  if (dbUsers === null) return "every member of rds_iam";
  return dbUsers.join(",") || "nobody";
}

export function namesIn(text: string): string[] {
  return text
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");
}

function settingsOf({ configFile }: Layout): Settings {
  return resolveSettings({ file: configFile, env: environment(), flags: [] });
}
