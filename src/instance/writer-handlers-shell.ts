import type { RpcHandler } from "../io/index.ts";
import { resetMasterPassword } from "./master-password-shell.ts";
import {
  changeMembersSchema,
  drainSchema,
  masterPasswordSchema,
  needLogSchema,
  pinOrderSchema,
  unpinSchema,
  untilDurableSchema,
} from "./messages.ts";
import { needLog } from "./need-log-shell.ts";
import { pinForClone, pinsOf } from "./pins-shell.ts";
import type { WriterRole } from "./writer-shell.ts";

/** What an agent is asked that only a writer can do. `writer` raises while it is none. */
export function writerHandlers(
  writer: () => WriterRole,
  closing: AbortSignal,
): Readonly<Record<string, RpcHandler>> {
  return {
    drain: (params) => writer().drain(drainSchema.parse(params)),
    checkpoint: () => writer().checkpoint(),
    hotBlocks: () => writer().hotBlocks(),
    changeMembers: (params) => writer().changeMembers(changeMembersSchema.parse(params).members),
    needLog: (params) => needLog(writer().volume, needLogSchema.parse(params).from),
    pin: (params) => pinForClone(writer().volume, pinOrderSchema.parse(params)),
    unpin: (params) => writer().volume.driver.unpin(unpinSchema.parse(params).pinId),
    pins: () => pinsOf(writer().volume),
    untilDurable: (params) => writer().untilDurable(untilDurableSchema.parse(params).what),
    resetPassword: (params) => {
      const wanted = masterPasswordSchema.parse(params);
      return resetMasterPassword(writer().postgres, wanted, closing);
    },
  };
}
