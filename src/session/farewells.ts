import { BorealisError, sqlState } from "../base/errors.ts";

const goingAway = new Set<string>([
  sqlState.adminShutdown,
  sqlState.crashShutdown,
  sqlState.cannotConnectNow,
]);
const endsOnPurpose = new Set<string>([sqlState.adminShutdown, sqlState.cannotConnectNow]);

/** A server's last word: it ends its sessions because it goes away itself; or an operator ends one. */
export function isGoingAway(code: string): boolean {
  return goingAway.has(code);
}

export function lostInCommit(cause?: unknown): BorealisError {
  return new BorealisError(sqlState.outcomeUnknown, "the outcome of the transaction is not known", {
    hint: "The instance was lost while a commit was under way. Look for the transaction's effects before you repeat it.",
    ...(cause !== undefined && { cause }),
  });
}

/** Nothing was being committed. Who ends the session on purpose says why. */
export function lostOtherwise(cause?: unknown): BorealisError {
  if (cause instanceof BorealisError && endsOnPurpose.has(cause.code)) return cause;
  return new BorealisError(
    sqlState.adminShutdown,
    "terminating connection because its instance is gone",
    {
      hint: "Nothing was being committed. Connect again.",
      ...(cause !== undefined && { cause }),
    },
  );
}

/** A result was held at the gate of reads for too long. */
export const mayBeFenced = new BorealisError(
  sqlState.cannotConnectNow,
  "this writer could not show in time that it still is the writer",
  {
    hint: "Fewer than three storage nodes answer it, or another instance took over. Connect again.",
  },
);

/** Another instance does not let the session in; `code` is its SQLSTATE. */
export function cannotReturn(code: string): BorealisError {
  const message = "terminating connection because its instance is gone, and another refused it";
  return new BorealisError(sqlState.adminShutdown, message, {
    detail: `SQLSTATE ${code}`,
    hint: "Connect again.",
  });
}

export const rewound = new BorealisError(
  sqlState.adminShutdown,
  "terminating connection because the cluster is set back to an earlier moment",
  { hint: "Connect again." },
);

/** PostgreSQL's own words, where it could not say them any more. */
export const endedByOperator = new BorealisError(
  sqlState.adminShutdown,
  "terminating connection due to administrator command",
);

export const shutdown = new BorealisError(
  sqlState.adminShutdown,
  "terminating connection due to administrator command",
  { hint: "The endpoint is shutting down." },
);

export function endpointGone({ id }: { readonly id: string }): BorealisError {
  const message = `terminating connection because the endpoint ${id} is no more`;
  return new BorealisError(sqlState.adminShutdown, message, {
    hint: "Connect to another endpoint.",
  });
}

/** A forwarded statement was not sent. */
export const writerEnded = new BorealisError(
  sqlState.connectionFailure,
  "the session's connection to the writer has ended",
  { hint: "Nothing of the statement was run. Try again.", safeToRetry: true },
);

/** A read that must show what was committed does not know what that is. */
export const notKnown = new BorealisError(
  sqlState.cannotConnectNow,
  "no writer says in time what the read must show",
  { hint: "Try again, or choose a weaker apg_write_forward.consistency_mode." },
);

/** What the session has set may not be what the writer's side would be given. */
export const notCertain = new BorealisError(
  sqlState.readOnly,
  "cannot forward a write: what the session has set is not certain",
  { hint: "Set apg_write_forward.consistency_mode again, or write at the writer endpoint." },
);

/** The client has cancelled what it waits for. */
export const cancelledByClient = new BorealisError(
  sqlState.queryCanceled,
  "canceling statement due to user request",
);

/** PostgreSQL's words for a name that is not there. */
export const unnamedElsewhere = new BorealisError(
  "26000",
  "unnamed prepared statement does not exist",
  { hint: "It was prepared in a transaction that ran on the writer." },
);

/** The pool's connection was refused to a session that had none; `code` is the SQLSTATE. */
export function cannotBorrow(code: string): BorealisError {
  const message = "terminating connection because the server refused the session another one";
  return new BorealisError(sqlState.adminShutdown, message, {
    detail: `SQLSTATE ${code}`,
    hint: "Connect again.",
  });
}

/**
 * No server of the pool in time; the session goes on. `reasons`: why servers are kept, and how many; `limit`: whose
 * CONNECTION LIMIT it is, if it is one ("role app").
 */
export function poolExhausted(
  borrowTimeoutMs: number,
  reasons: ReadonlyMap<string, number>,
  limit?: string,
): BorealisError {
  const whose = limit === undefined ? "" : `, of which ${limit} may have no more,`;
  const why = [...reasons].map(([reason, count]) => `${count}: ${reason}`).join("; ");
  return new BorealisError(
    sqlState.tooManyConnections,
    `no server connection became free within ${borrowTimeoutMs} ms`,
    {
      detail: `All server connections of the pool${whose} are kept (${why}).`,
      hint: "Nothing was run: try again. pool.maxConnectionsPercent and pool.borrowTimeoutMs say how many there are, and how long is waited.",
      safeToRetry: true,
    },
  );
}

export const canceledWait = new BorealisError(
  sqlState.queryCanceled,
  "canceling statement due to user request",
  { detail: "It was waiting for a server connection of the pool, and was not run." },
);

/** PostgreSQL's own words, for a session that has no server to say them. */
export const idleTooLong = new BorealisError(
  sqlState.idleSessionTimeout,
  "terminating connection due to idle-session timeout",
);
