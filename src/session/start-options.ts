import { BorealisError, sqlState } from "../base/errors.ts";
import { isReservedApplicationName, reservedNameRefusal, settingRefusal } from "../route/index.ts";
import { findParameter, type StartupParameter, type StartupRequest } from "../wire/index.ts";
import type { ExchangeOptions } from "./exchange-options.ts";
import { hidesWarnings } from "./hidden-warnings.ts";
import { defaultHonesty, parseDurationMs, parseSwitch } from "./probe.ts";
import { applyWish, defaultWishes } from "./survival-wishes.ts";

/** What a start-up packet asks for, as far as the endpoint must know it. */
export interface StartWishes {
  readonly user: string;
  readonly database: string;
  /** Settings in the order in which they take effect, by lower-case name: options, then parameters. */
  readonly settings: ReadonlyMap<string, string>;
}

/** PostgreSQL cuts longer identifiers (NAMEDATALEN - 1 bytes). */
const nameBytesMax = 63;

/** Raises BorealisError for what no endpoint serves. */
export function readStart(request: StartupRequest): StartWishes {
  const user = findParameter(request, "user");
  if (!user) {
    throw new BorealisError(
      sqlState.invalidAuthorization,
      "no PostgreSQL user name specified in startup packet",
    );
  }
  refuseReplication(findParameter(request, "replication"));
  const settings = new Map<string, string>();
  for (const [name, value] of splitOptions(findParameter(request, "options") ?? ""))
    settings.set(name, value);
  for (const { name, value } of request.parameters)
    settings.set(name.toLowerCase(), value.toString("utf8"));
  const name = settings.get("application_name");
  if (name !== undefined && isReservedApplicationName(name)) {
    throw new BorealisError(reservedNameRefusal.code, reservedNameRefusal.message, {
      hint: reservedNameRefusal.hint,
    });
  }
  for (const [setting, value] of settings) {
    const refusal = value === "" ? undefined : settingRefusal(setting, value);
    // Without the value: this is told in logs, too, and who sent it may be anybody.
    const message = `invalid value for parameter "${setting}"`;
    if (refusal) throw new BorealisError(refusal.code, message, { hint: refusal.hint });
  }
  const database = findParameter(request, "database") || user;
  return { user: cutName(user), database: cutName(database), settings };
}

/** Where a session came in, for Aurora's functions (instance/surface-functions.ts), as if its client had said so at its start. */
export function arrivedAt(request: StartupRequest, loopback: string | undefined): StartupRequest {
  if (loopback === undefined) return request;
  const own = { name: "borealis.endpoint_address", value: Buffer.from(loopback) };
  return { ...request, parameters: [...request.parameters, own] };
}

function refuseReplication(value: string | undefined): void {
  if (value === undefined || parseSwitch(value) === false) return;
  throw new BorealisError(
    sqlState.notSupported,
    "replication connections are not supported at endpoints",
    {
      hint: "readers are fed from storage; more of them are given at creation (borealis up --readers)",
    },
  );
}

function cutName(name: string): string {
  const bytes = Buffer.from(name);
  return bytes.length <= nameBytesMax ? name : bytes.subarray(0, nameBytesMax).toString("utf8");
}

/** The settings in an `options` text: -c name=value, -cname=value, --name=value; others are not ours to judge. */
export function splitOptions(options: string): [string, string][] {
  const words = splitWords(options);
  const settings: [string, string][] = [];
  for (let index = 0; index < words.length; index++) {
    const word = words[index] ?? "";
    let setting: string | undefined;
    if (word === "-c") setting = words[++index];
    else if (word.startsWith("-c")) setting = word.slice(2);
    else if (word.startsWith("--")) setting = word.slice(2);
    const equals = setting?.indexOf("=") ?? -1;
    if (setting === undefined || equals < 0) continue;
    const name = setting.slice(0, equals).trim().replaceAll("-", "_").toLowerCase();
    settings.push([name, setting.slice(equals + 1)]);
  }
  return settings;
}

/** As PostgreSQL's pg_split_opts: white space parts words, a backslash keeps the character after it. */
function splitWords(options: string): string[] {
  const words: string[] = [];
  for (const [word] of options.matchAll(/(?:\\[\s\S]|[^\s\\])+/g))
    words.push(word.replaceAll(/\\([\s\S])/g, "$1"));
  return words;
}

export const idleTimeoutSetting = "idle_session_timeout";

/** How long a session of this login may do nothing outside a transaction; 0: for ever. `stored` as for honestyAtStart. */
export function idleTimeoutAtStart(wishes: StartWishes, stored: readonly string[]): number {
  const of = stored.findLast((line) => line.toLowerCase().startsWith(`${idleTimeoutSetting}=`));
  const text = wishes.settings.get(idleTimeoutSetting) ?? of?.slice(idleTimeoutSetting.length + 1);
  return parseDurationMs(text) ?? 0;
}

/** `stored` are ALTER ROLE's and ALTER DATABASE's "name=value", the weakest first. */
export function honestyAtStart(
  wishes: StartWishes,
  stored: readonly string[],
): Pick<ExchangeOptions, "honesty" | "synchronousCommit" | "hidesWarnings" | "wishes"> {
  const settings = new Map<string, string>();
  for (const setting of stored) {
    const equals = setting.indexOf("=");
    settings.set(setting.slice(0, equals).toLowerCase(), setting.slice(equals + 1));
  }
  for (const [name, value] of wishes.settings) settings.set(name, value);
  let survival = defaultWishes;
  for (const [name, value] of settings) survival = applyWish(survival, name, value);
  const isForced = parseSwitch(settings.get("borealis.force_durable_commit"));
  const timeoutMs = parseDurationMs(settings.get("borealis.commit_timeout"));
  const text = settings.get("synchronous_commit")?.toLowerCase();
  // "no", "false" and "0" mean off, too; what else it says does not matter here.
  const synchronousCommit = parseSwitch(text) === false ? "off" : text;
  return {
    wishes: survival,
    hidesWarnings: hidesWarnings(settings.get("client_min_messages") ?? ""),
    honesty: {
      isForced: isForced ?? defaultHonesty.isForced,
      commitTimeoutMs: timeoutMs ?? defaultHonesty.commitTimeoutMs,
    },
    ...(synchronousCommit === undefined ? {} : { synchronousCommit }),
  };
}

/** The start-up as PostgreSQL gets it: everything, byte for byte. */
export function parametersForBackend(request: StartupRequest): readonly StartupParameter[] {
  return request.parameters.filter(({ name }) => name !== "replication");
}
