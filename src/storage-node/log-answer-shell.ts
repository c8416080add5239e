import type { AcceptorAction } from "../acceptor/index.ts";
import type { QuorumMessage } from "../quorum/index.ts";
import type { LogStore } from "./log-store-shell.ts";

/**
 * Reads what the acceptor has decided to serve, and says it: LogData or PullData, or NotHere if the log went away
 * meanwhile. Gives the failure of the read, if there was one.
 */
export async function answerRead(
  log: LogStore,
  read: AcceptorAction & { kind: "readLog" },
  say: (message: QuorumMessage) => void,
): Promise<unknown> {
  const { from, to, maxBytes, accepted } = read;
  try {
    const runs = await log.read({ from, to, limitBytes: maxBytes });
    if (read.as === "logData") say({ kind: "logData", lsn: from, runs });
    else say({ kind: "pullData", lsn: from, runs, accepted });
    return undefined;
  } catch (error) {
    say({ kind: "notHere", base: log.base, scl: log.scl });
    return error;
  }
}
