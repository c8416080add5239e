import { z } from "zod";
import { BorealisError, sqlState } from "../base/errors.ts";
import type { RpcHandler } from "../io/index.ts";
import type { InstanceRoles } from "./roles-shell.ts";

export const resetPasswordSchema = z.object({ verifier: z.string() });

/** A commit like any other, which may wait for the quorum. */
const resetMs = 20_000;

/** What the command line asks of the master user's password; passed on to who writes. */
export function masterPasswordHandlers(
  roles: Pick<InstanceRoles, "openWriter" | "untilHeard" | "state">,
): Readonly<Record<string, RpcHandler>> {
  return {
    resetPassword: async (params) => {
      const { verifier } = resetPasswordSchema.parse(params);
      await roles.untilHeard();
      const writer = roles.openWriter();
      if (!writer) throw noWriter();
      const user = roles.state.masterUser;
      await writer.call("resetPassword", { user, verifier }, { timeoutMs: resetMs });
      return { user };
    },
  };
}

function noWriter(): BorealisError {
  return new BorealisError(
    sqlState.cannotConnectNow,
    "there is no writer that has its quorum; the password is what it was",
    { hint: "borealis status shows what is missing; try again when it says available" },
  );
}
