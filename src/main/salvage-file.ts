import { rmSync } from "node:fs";
import { z } from "zod";
import type { Layout } from "../cluster/index.ts";
import { readNote } from "./control-note.ts";
import { replaceFile } from "./replace-file.ts";

/**
 * `control/salvage.json`: a salvage that was begun, and for whom. Two salvages could seal two halves of a volume for two
 * successors (docs/decisions.md), so the one successor is written down before the first seal.
 */
const salvageSchema = z.object({
  format: z.literal(1),
  successor: z.uuid(),
  /** Whose place it takes. One that was begun by an earlier version does not say. */
  former: z.uuid().optional(),
  /** All of the successor lies in `storage/.successor`: what is left is to put it in place. */
  isBuilt: z.boolean(),
  /** Of one that is built: what the successor cannot return to any more. The state that it was built from is replaced by then. */
  futuresLost: z
    .array(z.object({ fork: z.string(), end: z.string(), leftAt: z.string() }))
    .optional(),
});
export type SalvageFile = z.infer<typeof salvageSchema>;

function fileOf(layout: Layout): string {
  return `${layout.controlDir}/salvage.json`;
}

/** Undefined: none was begun. Raises XX001 for a file that cannot be used: then the nodes say for whom they are sealed. */
export function readSalvage(layout: Layout): SalvageFile | undefined {
  return readNote(
    fileOf(layout),
    salvageSchema,
    "remove it, and repeat borealis storage salvage: sealed nodes know their successor",
  );
}

export function writeSalvage(layout: Layout, salvage: SalvageFile): void {
  const text = `${JSON.stringify(salvage, null, 2)}\n`;
  replaceFile(fileOf(layout), text, { isDurable: true });
}

export function forgetSalvage(layout: Layout): void {
  rmSync(fileOf(layout), { force: true });
}
