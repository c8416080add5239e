import { sqlState } from "../base/errors.ts";
import { notAnybodys, ownedReason } from "../base/owned-settings.ts";
import type { Findings } from "./findings.ts";
import type { Refusal } from "./statement-class.ts";
import { child, text, type Tree } from "./tree.ts";

/** The name under which a writer's log driver is its PostgreSQL's synchronous standby. */
export const driverName = "borealis_log";

/** True for the name that no client may take: it would be counted as a synchronous standby. Compared as PostgreSQL does. */
export function isReservedApplicationName(name: string): boolean {
  return name.toLowerCase() === driverName;
}

/** The answer to an application_name that is reserved, for start-up packets as well. */
export const reservedNameRefusal: Refusal = {
  code: sqlState.invalidParameter,
  message: `application_name "${driverName}" is reserved`,
  hint: "Choose another name.",
};

const onOff = "on|off?|1|0|t(?:r(?:ue?)?)?|f(?:a(?:l(?:se?)?)?)?|y(?:es?)?|no?";
const aSwitch = { values: new RegExp(`^(?:${onOff})$`, "i"), hint: "Available values: on, off." };
const aTime = {
  values: /^\d+(?:\.\d+)?\s*(?:us|ms|s|min|h|d)?$/,
  hint: 'Available are numbers of milliseconds, and "us", "ms", "s", "min", "h" and "d" behind them.',
};
const aLimit = {
  values: aTime.values,
  hint: "Available are numbers (of seconds for connect_timeout, of milliseconds else), with a unit or without, and 0 for none.",
};
/** PostgreSQL takes any value for a setting with a prefix; nobody would hear that it means nothing. */
const ownSettings = new Map([
  [
    "apg_write_forward.consistency_mode",
    {
      values: /^(?:off|eventual|session|global)$/i,
      hint: "Available values: off, session, eventual, global.",
    },
  ],
  [
    "borealis.on_failover",
    { values: /^(?:continue|disconnect)$/i, hint: "Available values: continue, disconnect." },
  ],
  ["apg_write_forward.connect_timeout", aLimit],
  ["apg_write_forward.idle_session_timeout", aLimit],
  [
    "borealis.server_ids",
    { values: /^(?:name|address)$/i, hint: "Available values: name, address." },
  ],
  ["borealis.replay", aSwitch],
  ["borealis.hold_timeout", aTime],
  ["borealis.commit_timeout", aTime],
  ["borealis.force_durable_commit", aSwitch],
  [
    "borealis.pool",
    { values: new RegExp(`^(?:auto|${onOff})$`, "i"), hint: "Available values: auto, off." },
  ],
]);

export const ownSettingNames: readonly string[] = [...ownSettings.keys()];

/** A value that one of our settings cannot have, in a text or at a session's start. */
export function settingRefusal(name: string, value: string): Refusal | undefined {
  const ours = ownSettings.get(name);
  if (!ours || ours.values.test(value.trim())) return undefined;
  return {
    code: sqlState.invalidParameter,
    message: `invalid value for parameter "${name}": "${value}"`,
    hint: ours.hint,
  };
}

/** A setting that is Borealis's own: PostgreSQL would take it, and nothing would come of it. Without a value it is harmless. */
function parameterRefusal(setting: Tree): Refusal | undefined {
  const name = text(setting, "name") ?? "";
  const isRefused = text(setting, "kind") === "VAR_SET_VALUE" && ownedReason(name) !== undefined;
  if (!isRefused) return undefined;
  const { code, message, hint = "" } = notAnybodys(name);
  return { code, message, hint };
}

/** What an endpoint refuses by its text alone. */
export function refusalOf(tag: string, statement: Tree, findings: Findings): Refusal | undefined {
  if (tag === "CreateTableSpaceStmt" && text(statement, "location")) {
    return {
      code: sqlState.notSupported,
      message: "tablespaces with a location are not supported",
      hint: "Instances on one host would share the directory. Use LOCATION '' or the default tablespace.",
    };
  }
  if (tag === "AlterSystemStmt") return parameterRefusal(child(statement, "setstmt"));
  for (const { name, value } of findings.settings) {
    // An empty one is what PostgreSQL shows of a setting that was reset.
    const refusal = value ? settingRefusal(name, value) : undefined;
    if (refusal) return refusal;
  }
  const takesReservedName = findings.settings.some(
    ({ name, value }) => name === "application_name" && value && isReservedApplicationName(value),
  );
  return takesReservedName ? reservedNameRefusal : undefined;
}

/** The answer to a text that nobody can look through, and that has one of those words. */
export const tooDeepRefusal: Refusal = {
  code: sqlState.tooComplex,
  message: "the text nests too deep for the endpoint to see what it sets",
  hint: "Send what sets something, or changes the system, as a text of its own.",
};

/** Without one of these words refusalOf would find nothing; U& begins a name that may be spelt in any way. */
const refusedWords =
  /tablespace|\bsystem\b|application_name|set_config|pg_settings|borealis|apg_write_forward|\bu&/i;

/** Whether a text that was not looked through may have in it what an endpoint refuses. */
export function mayBeRefused(sql: string): boolean {
  return refusedWords.test(sql);
}
