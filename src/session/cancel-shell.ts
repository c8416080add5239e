import { messageOf } from "../base/errors.ts";
import { type Clock, type Connection, dial, type Logger } from "../io/index.ts";
import { encodeCancelRequest, pgSocketPath } from "../wire/index.ts";
import type { AdminSessions } from "./admin-shell.ts";
import type { Session } from "./session-shell.ts";

const cancelTimeoutMs = 5_000;

interface CancelWorld {
  readonly admin: AdminSessions;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Cancels what a session runs. Not while it waits for the quorum: its statement is over, and PostgreSQL would report
 * success for what can still be lost. Until the request has been delivered the session keeps its server: it would hit
 * whoever has that next. If it loses that server, or leaves it because it hangs, what is to be cancelled is cancelled on the next one.
 */
export async function cancelSession(session: Session, world: CancelWorld): Promise<void> {
  const { admin, logger } = world;
  // A cancel has no answer: the client sees that its statement goes on.
  const report = (error: unknown): void =>
    logger.warn({ event: "cancel.failed", pid: session.pid, reason: messageOf(error) });
  const unready = session.search.cancelWait();
  if (unready) await admin.terminate(unready.target, unready.key.pid).catch(report);
  // Between two servers there is nothing to cancel; what is run again may wait for a lock for ever.
  const { tenancy, target, line, backendKey: own } = session;
  const moved = new AbortController();
  session.search.lateCancel.note(session.survivor, line, () => {
    moved.abort(new Error("its session has another server"));
    void cancelSession(session, world);
  });
  if (!session.survivor.hasServer) return;
  const arrived = tenancy.cancelling();
  try {
    if (target.role === "writer" && (await admin.waitEvent(target, own.pid)) === "SyncRep") {
      session.search.lateCancel.forget();
      return;
    }
    const { signal } = moved;
    if (signal.aborted) return;
    const connection = await dial({ kind: "unix", path: pgSocketPath(target.address) }, { signal });
    if (session.line === line) session.survivor.cancelled();
    await deliver(connection, { own, signal, onLate: () => tenancy.pinServer(line), world });
    if (session.line === line) session.survivor.cancelled();
  } catch (error) {
    if (!moved.signal.aborted) report(error);
  } finally {
    arrived();
  }
}

/** PostgreSQL has sent the signal when it closes this connection: what it may still hit is then known. */
async function deliver(
  connection: Connection,
  {
    own,
    signal,
    onLate,
    world,
  }: {
    readonly own: Session["backendKey"];
    readonly signal: AbortSignal;
    readonly onLate: () => void;
    readonly world: CancelWorld;
  },
): Promise<void> {
  const timer = world.clock.after(cancelTimeoutMs, () => {
    onLate();
    connection.destroy();
  });
  const giveUp = (): void => connection.destroy();
  signal.addEventListener("abort", giveUp, { once: true });
  if (signal.aborted) giveUp();
  await new Promise<void>((resolve) => {
    connection.onClose(() => resolve());
    connection.onEnd(() => connection.end());
    connection.onData(() => undefined);
    connection.write(encodeCancelRequest(own.pid, own.key));
  });
  timer.cancel();
}
