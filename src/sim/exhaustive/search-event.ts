import { formatLog } from "./packed-log.ts";
import { driverEvents, type SearchSpace, type Successor } from "./search-space.ts";
import { eventOf } from "./node-space.ts";

/** A step on the way to a violation, with the names that the nodes began with. */
export interface SearchEvent {
  readonly event: number;
  readonly names: readonly string[];
  readonly before: Int32Array;
  readonly after: Int32Array;
}

/** "n2 accepts e3: 11 → 1": what happened, and what it did to the log that it met. */
export function describeEvent(space: SearchSpace, step: SearchEvent, successor: Successor): string {
  const { event, names } = step;
  const kind = event >>> 18;
  const arg = (event >>> 6) & 0xfff;
  const low = event & 0x3f;
  if (kind === driverEvents.decide) {
    const asked = names.filter((_, position) => ((low >>> position) & 1) === 1);
    const who = asked.toSorted().join(", ");
    if (arg === 0) return `an owner with promises of ${who} cannot decide`;
    const elect = space.elects.at(arg);
    const what = elect.isAskedBacktrack ? "a backtrack" : "a branch";
    const from = `with promises of ${who}`;
    return `${nameOf(space, elect.claim)} decides on ${what} at ${elect.start}, ${from}`;
  }
  if (kind === driverEvents.open) return `${nameOf(space, arg)} opens`;
  if (kind === driverEvents.acknowledge) {
    const { vdls } = space.observer.at(successor.overview);
    return `${nameOf(space, arg)} acknowledges ${(vdls[arg] ?? 1) - 1} units`;
  }
  const before = space.nodes.at(step.before[low + 1] ?? 0).core;
  const after = space.nodes.at(step.after[low] ?? 0).core;
  const change =
    before.log === after.log ? "" : `: ${formatLog(before.log)} → ${formatLog(after.log)}`;
  return `${names[low] ?? ""} ${verbOf(space, event)}${change}`;
}

function verbOf(space: SearchSpace, event: number): string {
  const happened = eventOf(event >>> 6);
  switch (happened.kind) {
    case "claim":
      return `promises ${nameOf(space, happened.claim)}`;
    case "elect":
      return `accepts the Elect of ${nameOf(space, space.elects.at(happened.elect).claim)}`;
    case "append":
      return `appends for ${nameOf(space, happened.claim)}`;
    case "fill":
      return `fills a unit of ${nameOf(space, happened.claim)} from a peer`;
    case "hint":
      return `hears VDL ${happened.vdl} from ${nameOf(space, happened.claim)}`;
    case "sync":
      return "finishes its sync";
    case "crash":
      return `loses power, keeps ${happened.kept} units`;
  }
}

function nameOf(space: SearchSpace, claim: number): string {
  const own = space.ground.epochOf(claim);
  const isOnly = space.ground.epochs.filter((epoch) => epoch === own).length === 1;
  return isOnly ? `epoch ${own}` : `epoch ${own} (claim ${claim + 1})`;
}
