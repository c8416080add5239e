import type { LogDriverHandle } from "../log-driver/index.ts";
import type { InstanceFigures } from "./messages.ts";
import type { StartMeter } from "./start-phases.ts";

/** A role that may have a log driver at work. */
type Counting =
  | { readonly kind: "none" | "reader" }
  | { readonly kind: "writer"; readonly role: { readonly driver: LogDriverHandle } };

/** What an agent has counted. */
export async function figuresOf(starts: StartMeter, situation: Counting): Promise<InstanceFigures> {
  if (situation.kind !== "writer") return { starts: starts.figures, writer: null };
  const { durable, walBytes: logBytes, nodes } = await situation.role.driver.status();
  const appends = nodes.map(({ name: node, appends: durations }) => ({ node, durations }));
  return { starts: starts.figures, writer: { durable, logBytes, appends } };
}
