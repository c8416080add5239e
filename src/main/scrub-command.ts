import { z } from "zod";
import { BorealisError, sqlState } from "../base/errors.ts";
import { connectRpc } from "../io/index.ts";
import { isRunning } from "./commands.ts";
import { readState, resolveLayout } from "./data-dir.ts";
import { print, printTable } from "./print.ts";

/** Reading everything takes a while, and so does healing. */
const timeoutMs = 900_000;

const resultSchema = z.object({
  node: z.string(),
  checkedBytes: z.number(),
  compared: z.number(),
  healed: z.number(),
  unhealed: z.number(),
  problem: z.string().nullable(),
});

/** Has storage nodes (all of them, or one) read through all that they have, compare it, and heal it. */
export async function storageScrub(
  id: string | undefined,
  options: { readonly dataDir: string; readonly json?: boolean },
): Promise<void> {
  const layout = resolveLayout(options.dataDir);
  const state = readState(layout);
  if (!state || !isRunning(layout)) {
    throw new BorealisError(
      sqlState.notInPrerequisiteState,
      `no cluster runs in ${layout.dataDir}`,
      { hint: "start it with borealis up" },
    );
  }
  const known = state.nodes.map((node) => node.id);
  if (id !== undefined && !known.includes(id)) {
    throw new BorealisError(sqlState.invalidParameter, `there is no storage node "${id}"`, {
      hint: `there are ${known.join(", ")}`,
    });
  }
  const address = { kind: "unix", path: layout.controlSocket } as const;
  const client = await connectRpc(address, { timeoutMs: 2_000 });
  let results: z.infer<typeof resultSchema>[];
  try {
    const ids = id === undefined ? known : [id];
    results = z.array(resultSchema).parse(await client.call("scrub", { ids }, { timeoutMs }));
  } finally {
    client.close();
  }
  if (options.json) print(JSON.stringify(results, null, 2));
  else {
    printTable(
      ["STORAGE", "CHECKED BYTES", "COMPARED", "HEALED", "UNHEALED", "PROBLEM"],
      results.map((one) => [
        one.node,
        String(one.checkedBytes),
        String(one.compared),
        String(one.healed),
        String(one.unhealed),
        one.problem ?? "-",
      ]),
    );
  }
  const bad = results.filter((one) => one.unhealed > 0 || one.problem !== null);
  if (bad.length === 0) return;
  if (options.json) {
    // The rows say it: an error's document after them would be a second one.
    process.exitCode = 1;
    return;
  }
  throw new BorealisError(
    sqlState.dataCorrupted,
    `${bad.map((one) => one.node).join(", ")}: not everything could be read and healed`,
    { hint: "borealis logs NODE says what; a node that stays bad is replaced" },
  );
}
