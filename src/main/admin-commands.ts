import type { AskedCommand, CommandDoer, CommandWait } from "../api/index.ts";
import { BorealisError, messageOf } from "../base/errors.ts";
import type { Layout } from "../cluster/index.ts";
import { connectRpc, type Logger, realClock } from "../io/index.ts";
import { accessSet } from "./access-commands.ts";
import { backtrack } from "./backtrack-command.ts";
import type { CommandReport, Workplace } from "./command-report.ts";
import {
  endpointCreate,
  endpointDelete,
  endpointModify,
  type EndpointWish,
} from "./endpoint-commands.ts";
import { failover } from "./failover-command.ts";
import { accessKeyCreate, accessKeyDelete } from "./iam-commands.ts";
import {
  instanceAdd,
  instanceModify,
  instanceReboot,
  instanceRemove,
} from "./instance-commands.ts";
import { NoticeProgress } from "./notice-progress.ts";
import { parameterReset, parameterSet } from "./parameter-commands.ts";
import { storageScrub } from "./scrub-command.ts";
import { snapshotCreate, snapshotDelete } from "./snapshot-changes.ts";
import { storageReplace, storageSwitch } from "./storage-commands.ts";

const noteMs = 2_000;

/** The command line's commands, for clients of the admin database. */
export function commandsIn(layout: Layout, logger: Logger): CommandDoer {
  return async (asked, wait) => {
    void noteEvent(layout, asked, logger);
    const { lines, head, failure } = await reportFor(layout, asked, wait);
    const all = head === undefined ? lines : [head, ...lines];
    if (!failure) return all;
    const { code, message, hint } = failure;
    // Rows before an error are not shown by many clients.
    throw new BorealisError(code, message, {
      ...(hint !== undefined && { hint }),
      detail: all.join("\n"),
      cause: failure,
    });
  };
}

async function reportFor(
  layout: Layout,
  { order }: AskedCommand,
  { tell, signal }: CommandWait,
): Promise<CommandReport> {
  const over = new AbortController();
  const progress = new NoticeProgress(realClock, tell, AbortSignal.any([signal, over.signal]));
  try {
    return await reportOn(order, { layout, progress, signal });
  } finally {
    over.abort();
  }
}

function reportOn(order: AskedCommand["order"], place: Workplace): Promise<CommandReport> {
  switch (order.kind) {
    case "failover":
      return failover(place, { target: order.target ?? undefined });
    case "backtrack":
      return backtrack(place, { to: order.to, isDryRun: order.isDryRun, option: "TO" });
    case "create snapshot":
      return snapshotCreate(place, order.id ?? undefined);
    case "drop snapshot":
      return snapshotDelete(place, order.id);
    case "add instance": {
      const { id, az, tier } = order;
      return instanceAdd(place, {
        ...(id !== null && { id }),
        ...(az !== null && { az }),
        ...(tier !== null && { tier: String(tier) }),
      });
    }
    case "remove instance":
      return instanceRemove(place, order.id);
    case "reboot instance":
      return instanceReboot(place, order.id);
    case "alter instance":
      return instanceModify(place, order.id, { tier: String(order.tier) });
    case "create endpoint":
      return endpointCreate(place, order.id, wishOf(order));
    case "alter endpoint":
      return endpointModify(place, order.id, wishOf(order));
    case "drop endpoint":
      return endpointDelete(place, order.id);
    case "alter access":
      return accessSet(place, order.id, order.allow);
    case "drop access":
      return accessSet(place, order.id, null);
    case "create iam":
      return accessKeyCreate(place, order.id, order.dbUsers);
    case "drop iam":
      return accessKeyDelete(place, order.id);
    case "set parameter":
      return parameterSet(place, order.id, order.value, order.instance);
    case "reset parameter":
      return parameterReset(place, order.id, order.instance);
    case "stop storage":
      return storageSwitch(place, "stop", order.ids);
    case "start storage":
      return storageSwitch(place, "start", order.ids);
    case "replace storage":
      return storageReplace(place, order.id);
    case "scrub storage":
      return storageScrub(place, order.id ?? undefined);
  }
}

type EndpointOrder = Extract<
  AskedCommand["order"],
  { readonly kind: "create endpoint" | "alter endpoint" }
>;

function wishOf({ type, list }: EndpointOrder): EndpointWish {
  return { type: type ?? undefined, list: list ?? undefined };
}

/** For SHOW EVENTS. It is in the log, whether or not this is heard. */
async function noteEvent(
  layout: Layout,
  { by: { user, principal }, text }: AskedCommand,
  logger: Logger,
): Promise<void> {
  try {
    const address = { kind: "unix", path: layout.controlSocket } as const;
    const client = await connectRpc(address, { timeoutMs: noteMs });
    try {
      await client.call("commandAsked", { user, principal, text }, { timeoutMs: noteMs });
    } finally {
      client.close();
    }
  } catch (error) {
    logger.debug({ event: "admin.commandNotNoted" }, messageOf(error));
  }
}
