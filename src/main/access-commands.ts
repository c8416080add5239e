import type { CommandReport, Workplace } from "./command-report.ts";
import { type Options, printJson, readReport, stateOf } from "./commands.ts";
import { tell } from "./control-calls.ts";
import { print, printTable } from "./print.ts";

const asSet = "as access.allow says";

/** From where an endpoint takes connections from now on; null: as the setting says. Sessions that are there stay. */
export async function accessSet(
  { layout }: Workplace,
  endpoint: string,
  allow: readonly string[] | null,
): Promise<CommandReport> {
  stateOf(layout);
  await tell(layout, "setAccess", { endpoint, allow });
  const said = allow === null ? asSet : allow.join(", ");
  const lines = [`${endpoint} takes connections from ${said === "" ? "nowhere" : said}`];
  return { document: { endpoint, allow }, lines };
}

/** Shows from where each endpoint takes connections, also of a cluster that is down. */
export async function accessList(options: Options): Promise<void> {
  const rows = (await readReport(options)).endpoints.map(({ id, allow }) => {
    return { endpoint: id, allow };
  });
  if (options.json) return printJson(rows);
  printTable(
    ["ENDPOINT", "FROM"],
    rows.map(({ endpoint, allow }) => [
      endpoint,
      allow === null ? `(${asSet})` : allow.join(", ") || "nowhere",
    ]),
  );
  print("borealis config access.allow shows what the others go by");
}
