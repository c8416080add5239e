import { BorealisError, sqlState } from "../base/errors.ts";

/** One link of the engine package; both paths are relative to the package. */
export interface EngineSymlink {
  readonly source: string;
  readonly target: string;
}

/** Reads pg-symlinks.json. Raises BorealisError XX001 if it is not a list of links that stay inside the package. */
export function parseSymlinks(text: string): EngineSymlink[] {
  const list: unknown = parseJson(text);
  if (!Array.isArray(list)) throw damaged("it is not a list");
  return list.map((item: unknown) => {
    if (typeof item !== "object" || item === null) throw damaged("an entry is not an object");
    const { source, target } = item as { source?: unknown; target?: unknown }; // an object; both are checked below
    if (!isInside(source) || !isInside(target))
      throw damaged("an entry names no path inside the package");
    return { source, target };
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw damaged("it is not JSON");
  }
}

function isInside(path: unknown): path is string {
  return (
    typeof path === "string" &&
    path !== "" &&
    !path.startsWith("/") &&
    !path.split("/").includes("..")
  );
}

function damaged(why: string): BorealisError {
  return new BorealisError(
    sqlState.dataCorrupted,
    `pg-symlinks.json of the PostgreSQL package is damaged: ${why}`,
    {
      hint: "install the package again",
    },
  );
}
