import { messageOf } from "../base/errors.ts";
import { type Clock, dial, type Logger } from "../io/index.ts";
import { encodeCancelRequest, pgSocketPath } from "../wire/index.ts";
import type { AdminSessions } from "./admin-shell.ts";
import type { Session } from "./session-shell.ts";

const cancelTimeoutMs = 5_000;

/**
 * Cancels what a session runs. Not while it waits for the quorum: its statement is over, and PostgreSQL would report
 * success for what can still be lost. Until the request has been delivered the session keeps its server: it would hit
 * whoever has that next.
 */
export async function cancelSession(
  session: Session,
  {
    admin,
    clock,
    logger,
  }: { readonly admin: AdminSessions; readonly clock: Clock; readonly logger: Logger },
): Promise<void> {
  // A cancel has no answer: the client sees that its statement goes on.
  const report = (error: unknown): void =>
    logger.warn({ event: "cancel.failed", pid: session.pid, reason: messageOf(error) });
  const unready = session.search.cancelWait();
  if (unready) await admin.terminate(unready.target, unready.key.pid).catch(report);
  // Between two servers there is nothing to cancel; what is run again may wait for a lock for ever.
  if (!session.survivor.hasServer) return;
  const { tenancy, target, backendKey: own } = session;
  const arrived = tenancy.cancelling();
  try {
    if (target.role === "writer" && (await admin.waitEvent(target, own.pid)) === "SyncRep") return;
    const connection = await dial({ kind: "unix", path: pgSocketPath(target.address) });
    session.survivor.cancelled();
    // PostgreSQL has sent the signal when it closes this connection: what it may still hit is then known.
    const timer = clock.after(cancelTimeoutMs, () => {
      tenancy.pin("a cancel request may still be on its way");
      connection.destroy();
    });
    await new Promise<void>((resolve) => {
      connection.onClose(() => resolve());
      connection.onEnd(() => connection.end());
      connection.onData(() => undefined);
      connection.write(encodeCancelRequest(own.pid, own.key));
    });
    timer.cancel();
    session.survivor.cancelled();
  } catch (error) {
    report(error);
  } finally {
    arrived();
  }
}
