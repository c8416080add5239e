import { existsSync, readFileSync } from "node:fs";
import { BorealisError, sqlState } from "../base/errors.ts";
import {
  type ClusterEvent,
  EventBook,
  eventSchema,
  eventsMax,
  eventsUsual,
  parseEvents,
} from "../events/index.ts";
import { realClock } from "../io/index.ts";
import { type Options, printJson, requireCluster } from "./commands.ts";
import { ask } from "./control-calls.ts";
import { parseMoment } from "./moment-text.ts";
import { print, printTable } from "./print.ts";
import { isRunning } from "./running.ts";
import { z } from "zod";

/**
 * What has happened to the cluster, oldest first: the newest `limit` since then. Of a stopped cluster, too. Raises 22023 for what is
 * no time or number.
 */
export async function events(
  options: Options & { readonly since?: string; readonly limit?: string },
): Promise<void> {
  const { layout } = requireCluster(options);
  const asked = { sinceMs: sinceMsOf(options.since), limit: limitOf(options.limit) };
  const rows = isRunning(layout)
    ? z.array(eventSchema).parse(await ask(layout, "events", asked))
    : readStopped(layout.eventsFile, asked);
  if (options.json) return printJson(rows);
  if (rows.length === 0) return print("nothing has happened, as far as is known");
  printTable(
    ["TIME", "WHAT", "ID", "CATEGORY", "MESSAGE"],
    rows.map((one) => [
      one.time.replace(/\.\d+Z$/, "Z"),
      one.sourceType,
      one.source,
      one.category,
      one.message,
    ]),
  );
}

function readStopped(
  file: string,
  { sinceMs, limit }: { readonly sinceMs: number; readonly limit: number },
): readonly ClusterEvent[] {
  const text = existsSync(file) ? readFileSync(file, "utf8") : "";
  return new EventBook(parseEvents(text).events).list(sinceMs, limit);
}

function sinceMsOf(since: string | undefined): number {
  if (since === undefined) return 0;
  const moment = parseMoment(since, "--since", realClock.wallMs());
  if (moment.kind === "time") return Number(moment.timeUs / 1_000n);
  throw new BorealisError(sqlState.invalidParameter, `"${since}" is no time`, {
    hint: "--since takes -1h, or a time such as 2026-11-28T22:10:03Z",
  });
}

function limitOf(text: string | undefined): number {
  const limit = Number(text ?? eventsUsual);
  if (Number.isInteger(limit) && limit >= 1 && limit <= eventsMax) return limit;
  throw new BorealisError(sqlState.invalidParameter, `--limit is a number from 1 to ${eventsMax}`, {
    hint: `"${text}" is none`,
  });
}
