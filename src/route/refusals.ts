import { sqlState } from "../base/errors.ts";
import type { Findings } from "./findings.ts";
import type { Refusal } from "./statement-class.ts";
import { text, type Tree } from "./tree.ts";

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

/** What an endpoint refuses by its text alone. */
export function refusalOf(tag: string, statement: Tree, findings: Findings): Refusal | undefined {
  if (tag === "CreateTableSpaceStmt" && text(statement, "location")) {
    return {
      code: sqlState.notSupported,
      message: "tablespaces with a location are not supported",
      hint: "Instances on one host would share the directory. Use LOCATION '' or the default tablespace.",
    };
  }
  if (tag === "AlterSystemStmt") {
    return {
      code: sqlState.notSupported,
      message: "ALTER SYSTEM is not supported",
      hint: "It would change one instance only, and be lost when that is rebuilt. Use ALTER DATABASE or ALTER ROLE ... SET.",
    };
  }
  const mode = findings.settings.find(({ name }) => name === "apg_write_forward.consistency_mode");
  if (mode?.value && !/^\s*(?:off|eventual|session|global)\s*$/i.test(mode.value)) {
    return {
      code: sqlState.invalidParameter,
      message: `invalid value for parameter "${mode.name}": "${mode.value}"`,
      hint: "Available values: off, session, eventual, global.",
    };
  }
  const takesReservedName = findings.settings.some(
    ({ name, value }) => name === "application_name" && value && isReservedApplicationName(value),
  );
  return takesReservedName ? reservedNameRefusal : undefined;
}
