import { existsSync } from "node:fs";
import { z } from "zod";
import { BorealisError, sqlState } from "../base/errors.ts";
import {
  type CloneReport,
  cloneReportSchema,
  type Layout,
  liveClones,
  requireClone,
} from "../cluster/index.ts";
import { readOrigin } from "./clone-origin.ts";
import { type Options, printJson, readReport, requireCluster } from "./commands.ts";
import { ask } from "./control-calls.ts";
import { readState, resolveLayout } from "./data-dir.ts";
import { releasePin } from "./parent-clones.ts";
import { print, printTable, storageState } from "./print.ts";
import { isRunning } from "./running.ts";

/** It asks the storage nodes what they keep. */
const clonesMs = 15_000;

/** What a clone is now, as this host sees it. `orphaned`: its pin holds log that nobody needs. */
type CloneSituation = "in use" | "being made" | "orphaned";

interface CloneRow extends CloneReport {
  readonly situation: CloneSituation;
}

/** The storage nodes, and whose log they keep. */
export async function storageList(options: Options): Promise<void> {
  const { layout } = requireCluster(options);
  const report = await readReport(options);
  const clones = await cloneRows(layout);
  if (options.json) return printJson(report.storage.map((one) => ({ ...one, pins: clones })));
  printTable(
    ["STORAGE", "AZ", "KIND", "STATE", "COMPLETE TO", "EPOCH", "PID"],
    report.storage.map((one) => [
      one.id,
      one.az,
      one.kind,
      storageState(one),
      one.scl ?? "-",
      String(one.epoch ?? "-"),
      String(one.pid ?? "-"),
    ]),
  );
  if (clones.length === 0) return;
  print();
  printTable(
    ["CLONE", "BRANCHES AT", "MADE", "STATE", "PIN"],
    clones.map((one) => [
      one.dataDir ?? "(unknown)",
      one.lsn ?? "-",
      one.createdAt ?? "-",
      one.situation,
      one.pinId,
    ]),
  );
  if (clones.some(({ situation }) => situation === "orphaned"))
    print("  log is kept for clones that are gone: borealis storage unpin CLONE releases it");
}

async function cloneRows(layout: Layout): Promise<CloneRow[]> {
  const clones = isRunning(layout) ? await askClones(layout) : clonesOnDisk(layout);
  return clones.map((one) => ({ ...one, situation: situationOf(one) }));
}

/** Of a cluster that does not run: what its file knows. */
function clonesOnDisk(layout: Layout): CloneReport[] {
  const state = readState(layout);
  return (state ? liveClones(state) : []).map(({ pinId, dataDir, lsn, createdAt }) => {
    return { pinId, dataDir, lsn, createdAt };
  });
}

async function askClones(layout: Layout): Promise<CloneReport[]> {
  return z.array(cloneReportSchema).parse(await ask(layout, "clones", {}, clonesMs));
}

function situationOf({ dataDir, pinId }: CloneReport): CloneSituation {
  if (dataDir === null || !existsSync(dataDir)) return "orphaned";
  const layout = resolveLayout(dataDir);
  if (originOf(layout) !== pinId) return "orphaned";
  return readState(layout) ? "in use" : "being made";
}

function originOf(layout: Layout): string | undefined {
  try {
    return readOrigin(layout)?.pinId;
  } catch {
    return undefined; // whatever it is, it does not say that it is this clone
  }
}

/** Releases the log that is kept for a clone which was removed by hand. */
export async function storageUnpin(
  name: string,
  options: Options & { force?: boolean },
): Promise<void> {
  const { layout } = requireCluster(options);
  const clone = requireClone(await cloneRows(layout), name);
  if (clone.situation !== "orphaned" && options.force !== true) {
    throw new BorealisError(
      sqlState.notInPrerequisiteState,
      `the clone in ${clone.dataDir ?? name} is still there`,
      {
        hint: `end it: borealis delete --data-dir ${clone.dataDir ?? name}; --force releases its log all the same`,
      },
    );
  }
  await releasePin(layout, clone.pinId);
  if (options.json) return printJson({ released: clone.pinId });
  print(`the log of ${clone.dataDir ?? clone.pinId} is kept no longer`);
}
