import { z } from "zod";
import { BorealisError, sqlState } from "../base/errors.ts";
import { type Layout, scrubStepSchema } from "../cluster/index.ts";
import { orAborted } from "../io/index.ts";
import type { CommandReport, Workplace } from "./command-report.ts";
import { connectControl } from "./control-calls.ts";
import { readState } from "./data-dir.ts";
import { tableLines } from "./print.ts";
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

type Result = z.infer<typeof resultSchema>;

/**
 * Has all that storage nodes keep read through, compared and healed: log, and the objects of snapshots in full nodes and in the
 * object store. `id`: of this node alone. The report's failure (XX001) says what is not well afterwards.
 */
export async function storageScrub(
  place: Workplace,
  id: string | undefined,
): Promise<CommandReport> {
  const known = nodesOf(place.layout);
  if (id !== undefined && !known.includes(id)) {
    throw new BorealisError(sqlState.invalidParameter, `there is no storage node "${id}"`, {
      hint: `there are ${known.join(", ")}`,
    });
  }
  const asked = { ids: id === undefined ? known : [id], objectStore: id === undefined };
  const results = await scrub(place, asked);
  const [head = "", ...lines] = tableLines(
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
  const failure = failureOf(results);
  return { document: results, head, lines, ...(failure && { failure }) };
}

/** Of a cluster that runs. */
function nodesOf(layout: Layout): string[] {
  const state = readState(layout);
  if (state && isRunning(layout)) return state.nodes.map((node) => node.id);
  throw new BorealisError(sqlState.notInPrerequisiteState, `no cluster runs in ${layout.dataDir}`, {
    hint: "start it with borealis up",
  });
}

async function scrub({ layout, progress, signal }: Workplace, asked: object): Promise<Result[]> {
  const client = await connectControl(layout);
  let step = "";
  client.onEvent((event, data) => {
    if (event !== "progress") return;
    const now = scrubStepSchema.parse(data);
    if (now.step !== step) progress.begin(now.step, now.totalBytes ?? undefined);
    step = now.step;
    progress.at(now.doneBytes, now.totalBytes ?? undefined);
  });
  try {
    // For as long as it takes: reading everything is not done in a moment, nor is healing.
    const answer = await orAborted(client.call("scrub", asked), signal);
    progress.end();
    return z.array(resultSchema).parse(answer);
  } finally {
    client.close();
  }
}

function failureOf(results: readonly Result[]): BorealisError | undefined {
  const bad = results.filter((one) => one.unhealed > 0 || one.problem !== null);
  if (bad.length === 0) return undefined;
  return new BorealisError(
    sqlState.dataCorrupted,
    `${bad.map((one) => one.node).join(", ")}: not everything could be read and healed`,
    {
      hint: "borealis logs NODE, of objects borealis logs keeper, says what; replace a node that stays bad",
    },
  );
}
