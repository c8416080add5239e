import { z } from "zod";
import { BorealisError, sqlState } from "../base/errors.ts";
import { connectControl } from "./control-calls.ts";
import { readState, resolveLayout } from "./data-dir.ts";
import { print, printTable } from "./print.ts";
import { isRunning } from "./running.ts";

const resultSchema = z.object({
  node: z.string(),
  checkedBytes: z.number(),
  compared: z.number(),
  healed: z.number(),
  unhealed: z.number(),
  problem: z.string().nullable(),
  objects: z
    .object({
      checked: z.number(),
      checkedBytes: z.number(),
      healed: z.number(),
      unhealed: z.number(),
    })
    .nullable(),
});

/**
 * Has all that storage nodes keep read through, compared and healed: log, and the objects of snapshots in full nodes and in the
 * object store. `id`: of this node alone. Sets exit code 1, or raises XX001, if something is not well afterwards.
 */
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
  const client = await connectControl(layout);
  let results: z.infer<typeof resultSchema>[];
  try {
    const asked = { ids: id === undefined ? known : [id], objectStore: id === undefined };
    // For as long as it takes: reading everything is not done in a moment, nor is healing.
    results = z.array(resultSchema).parse(await client.call("scrub", asked));
  } finally {
    client.close();
  }
  if (options.json) print(JSON.stringify(results, null, 2));
  else {
    printTable(
      ["STORAGE", "CHECKED BYTES", "COMPARED", "OBJECTS", "HEALED", "UNHEALED", "PROBLEM"],
      results.map((one) => [
        one.node,
        String(one.checkedBytes),
        String(one.compared),
        one.objects ? String(one.objects.checked) : "-",
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
    {
      hint: "borealis logs NODE, of objects borealis logs keeper, says what; replace a node that stays bad",
    },
  );
}
