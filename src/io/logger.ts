import { statSync, renameSync } from "node:fs";
import { destination, type Logger as PinoLogger, pino } from "pino";
import { formatLsn, lsn } from "../base/lsn.ts";

/** JSON lines; each with `event` ("noun.verb") and flat facts. */
export type Logger = PinoLogger;

export interface LogOptions {
  /** undefined: no output at all (tests). */
  readonly file: string | undefined;
  readonly process: string;
  readonly level?: string;
  readonly maxBytes?: number;
}

/** pino prints a bigint as a bare JSON number, which readers then round: LSNs go out as hi/lo text. */
function withTextLsns(facts: Record<string, unknown>): Record<string, unknown> {
  let copy: Record<string, unknown> | undefined;
  for (const key in facts) {
    const value = facts[key];
    if (typeof value !== "bigint") continue;
    copy ??= { ...facts };
    copy[key] = formatLsn(lsn(value));
  }
  return copy ?? facts;
}

/** Opens a log file that is rotated by size: `x.log` becomes `x.log.1`, of which one is kept. */
export function openLogger(options: LogOptions): Logger {
  const level = options.level ?? "info";
  const settings = { level, base: { process: options.process }, formatters: { log: withTextLsns } };
  const { file } = options;
  if (file === undefined) return pino({ ...settings, level: "silent" });
  const stream = destination({ dest: file, append: true, mkdir: true, sync: true });
  const maxBytes = options.maxBytes ?? 16 * 1024 * 1024;
  const rotate = (): void => {
    if ((statSync(file, { throwIfNoEntry: false })?.size ?? 0) < maxBytes) return;
    renameSync(file, `${file}.1`);
    stream.reopen();
  };
  rotate();
  setInterval(rotate, 10_000).unref();
  return pino(settings, stream);
}
