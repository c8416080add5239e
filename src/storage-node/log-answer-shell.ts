import type { AcceptorAction } from "../acceptor/index.ts";
import type { QuorumMessage, Run } from "../quorum/index.ts";
import type { Lsn } from "../base/lsn.ts";
import type { KeptLog } from "./kept-log-shell.ts";
import type { LogStore } from "./log-store-shell.ts";

type Say = (message: QuorumMessage) => void;

/**
 * Reads what the acceptor has decided to serve, and says it: LogData, PullData or PinData, or NotHere if the log went
 * away meanwhile. Gives the failure of the read, if there was one.
 */
export async function answerRead(
  log: LogStore,
  read: AcceptorAction & { kind: "readLog" },
  say: Say,
): Promise<unknown> {
  const { from, to, maxBytes, accepted, pinId } = read;
  try {
    const runs = await log.read({ from, to, limitBytes: maxBytes });
    if (read.as === "pullData") say({ kind: "pullData", lsn: from, runs, accepted });
    else
      sayKept(
        pinId === undefined ? { kind: "logData" } : { kind: "pinData", pinId },
        from,
        runs,
        say,
      );
    return undefined;
  } catch (error) {
    say({ kind: "notHere", base: log.base, scl: log.scl });
    return error;
  }
}

/** The same from what is kept beside the log; NotHere, too, if nothing there continues the path. */
export async function answerKept(
  store: { readonly log: LogStore; readonly kept: KeptLog },
  read: AcceptorAction & { kind: "readKept" },
  say: Say,
): Promise<unknown> {
  const { path, from, to, maxBytes: limitBytes, onlyPins } = read;
  let runs: Run[] = [];
  let failure: unknown;
  try {
    runs = await store.kept.read({ path, from, to, limitBytes, onlyPins });
  } catch (error) {
    failure = error;
  }
  if (runs.length > 0) sayKept(read.as, from, runs, say);
  else say({ kind: "notHere", base: store.log.base, scl: store.log.scl });
  return failure;
}

function sayKept(
  as: (AcceptorAction & { kind: "readKept" })["as"],
  lsn: Lsn,
  runs: Run[],
  say: Say,
): void {
  if (as.kind === "logData") say({ kind: "logData", lsn, runs });
  else say({ kind: "pinData", pinId: as.pinId, lsn, runs });
}
