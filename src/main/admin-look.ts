import { z } from "zod";
import {
  type ParameterRow,
  parameterRowsSchema,
  type StatusReport,
  statusSchema,
} from "../cluster/index.ts";
import { type ClusterEvent, eventSchema, eventsMax } from "../events/index.ts";
import { connectRpc, type RpcClient } from "../io/index.ts";
import { type ListedSnapshot, snapshotRowsSchema } from "../keeper/index.ts";
import { askAgain } from "./control-calls.ts";

const connectMs = 1_000;
/** A control plane that has ended is there again within half a second, as a rule. */
const patienceMs = 5_000;
const statusMs = 10_000;
/** The keeper reads the object store for it. */
const snapshotsMs = 60_000;

/** What the admin database asks of the control plane. Each raises BorealisError if nobody answers. */
export function lookThrough(controlSocket: string): {
  status: () => Promise<StatusReport>;
  snapshots: () => Promise<readonly ListedSnapshot[]>;
  parameters: () => Promise<readonly ParameterRow[]>;
  events: () => Promise<readonly ClusterEvent[]>;
} {
  const address = { kind: "unix", path: controlSocket } as const;
  const connect = (): Promise<RpcClient> => connectRpc(address, { timeoutMs: connectMs });
  const ask = (method: string, timeoutMs: number, params: object = {}): Promise<unknown> =>
    askAgain(connect, { method, params, timeoutMs }, patienceMs);
  return {
    status: async () => statusSchema.parse(await ask("status", statusMs)),
    events: async () =>
      z.array(eventSchema).parse(await ask("events", statusMs, { limit: eventsMax })),
    parameters: async () => parameterRowsSchema.parse(await ask("parameters", statusMs)),
    snapshots: async () => snapshotRowsSchema.parse(await ask("snapshotList", snapshotsMs)),
  };
}
