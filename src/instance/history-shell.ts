import { type Timeline, timeline } from "../base/ids.ts";
import type { Lsn } from "../base/lsn.ts";
import { dataDirOf, type HistoryFile, installHistoryFiles } from "../engine/index.ts";
import { realDisk } from "../io/index.ts";
import { findHistoryFile } from "../log-driver/index.ts";
import type { TimelineSpan } from "../quorum/index.ts";
import type { AgentConfig } from "./messages.ts";

/** The timelines of the path that have a byte below the recovery LSN: one that begins there is not PostgreSQL's yet. */
export function historyBelow(claimed: {
  readonly spans: readonly TimelineSpan[];
  readonly start: Lsn;
}): TimelineSpan[] {
  return claimed.spans.filter((span, index) => index === 0 || span.start < claimed.start);
}

/** Makes the path's history files the only ones in the cache: one of a dead branch leads PostgreSQL astray (D38). */
export async function installPathHistory(
  config: AgentConfig,
  spans: readonly TimelineSpan[],
): Promise<void> {
  const files = spans.flatMap(({ timeline: id }): HistoryFile[] => {
    const content = findHistoryFile(spans, id);
    return content === undefined ? [] : [{ timeline: id, content }];
  });
  await installHistoryFiles(dataDirOf(config.instanceDir), files, config.osUser ?? undefined);
}

/** The highest timeline that the cache has a history file of; 0: none. */
export async function newestHistoryFile(config: AgentConfig): Promise<number> {
  return newestTimeline(await namesInWal(config), /^([0-9A-F]{8})\.history$/);
}

/** The highest timeline that the cache has log of; undefined: none. */
export async function newestLocalTimeline(config: AgentConfig): Promise<Timeline | undefined> {
  const newest = newestTimeline(await namesInWal(config), /^([0-9A-F]{8})[0-9A-F]{16}$/);
  return newest === 0 ? undefined : timeline(newest);
}

function namesInWal(config: AgentConfig): Promise<string[]> {
  return realDisk.list(`${dataDirOf(config.instanceDir)}/pg_wal`);
}

function newestTimeline(names: readonly string[], pattern: RegExp): number {
  let newest = 0;
  for (const name of names) {
    const digits = pattern.exec(name)?.[1];
    if (digits) newest = Math.max(newest, Number.parseInt(digits, 16));
  }
  return newest;
}
