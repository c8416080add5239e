import { BorealisError, sqlState } from "../base/errors.ts";

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
