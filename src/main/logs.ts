import { existsSync, openSync, readdirSync, readSync, statSync } from "node:fs";
import { BorealisError, sqlState } from "../base/errors.ts";
import { resolveLayout } from "./data-dir.ts";
import { dim, print, printable } from "./print.ts";

/** Fields that every line has; the rest are shown as facts. */
const plainFields = new Set(["level", "time", "process", "event", "msg", "v"]);
const levelNames: Readonly<Record<number, string>> = {
  20: "debug",
  30: "info",
  40: "WARN",
  50: "ERROR",
  60: "FATAL",
};
const followEveryMs = 250;
const tailBytes = 256 * 1024;

interface LogLine {
  readonly timeMs: number;
  readonly text: string;
  /** As it stands in the file. */
  readonly raw: string;
}

/** One JSON line as a person reads it; lines that are not ours (PostgreSQL's own) as they are. */
function readable(line: string, fallback: string): Omit<LogLine, "raw"> {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value !== "object" || value === null) throw new TypeError("not an object");
    const facts = new Map<string, unknown>(Object.entries(value));
    const timeMs = Number(facts.get("time"));
    const time = new Date(timeMs).toISOString().slice(11, 23);
    const level = levelNames[Number(facts.get("level"))] ?? "";
    const rest = [...facts]
      .filter(([key]) => !plainFields.has(key))
      .map(([key, fact]) => `${key}=${typeof fact === "string" ? fact : JSON.stringify(fact)}`)
      .join(" ");
    const said = [facts.get("event"), facts.get("msg")].filter(Boolean).map(String);
    const words = [...said.map(printable), dim(printable(rest))].filter(Boolean).join("  ");
    const process = printable(String(facts.get("process")));
    return { timeMs, text: `${time} ${level.padEnd(5)} ${process.padEnd(13)} ${words}` };
  } catch {
    return { timeMs: 0, text: `${" ".repeat(19)}${fallback.padEnd(13)} ${printable(line)}` };
  }
}

class Tail {
  private readonly file: string;
  readonly name: string;
  private at: number;
  private rest = "";

  constructor(file: string, name: string, sizeBytes: number) {
    this.file = file;
    this.name = name;
    this.at = Math.max(0, sizeBytes - tailBytes);
    if (this.at > 0) this.rest = "\0"; // the first line is cut: it is dropped below
  }

  read(): LogLine[] {
    const size = statSync(this.file, { throwIfNoEntry: false })?.size ?? 0;
    if (size < this.at) this.at = 0; // rotated
    if (size === this.at) return [];
    const fd = openSync(this.file, "r");
    const bytes = Buffer.alloc(size - this.at);
    this.at += readSync(fd, bytes, 0, bytes.length, this.at);
    const lines = (this.rest + bytes.toString("utf8")).split("\n");
    this.rest = lines.pop() ?? "";
    return lines
      .filter((line) => line !== "" && !line.startsWith("\0"))
      .map((line) => ({ ...readable(line, this.name), raw: line }));
  }
}

/** Log lines of one process or all, oldest first; `follow` goes on until interrupted. */
export async function logs(
  name: string | undefined,
  options: { readonly dataDir: string; readonly follow?: boolean; readonly json?: boolean },
): Promise<void> {
  const layout = resolveLayout(options.dataDir);
  const files = existsSync(layout.logDir)
    ? readdirSync(layout.logDir).filter((file) => /\.(log|stderr|postgres)$/.test(file))
    : [];
  const chosen = files.filter((file) => name === undefined || file.replace(/\.\w+$/, "") === name);
  if (chosen.length === 0) {
    const known = [...new Set(files.map((file) => file.replace(/\.\w+$/, "")))].join(", ");
    throw new BorealisError(
      sqlState.invalidParameter,
      `there is no log of "${name ?? "anything"}"`,
      {
        hint: known ? `there are ${known}` : `nothing was logged in ${layout.logDir} yet`,
      },
    );
  }
  const tails = chosen.map((file) => {
    const path = `${layout.logDir}/${file}`;
    return new Tail(path, file.replace(/\.\w+$/, ""), statSync(path).size);
  });
  for (;;) {
    const lines = tails.flatMap((tail) => tail.read()).toSorted((a, b) => a.timeMs - b.timeMs);
    for (const line of lines) print(options.json ? line.raw : line.text);
    if (!options.follow) return;
    await new Promise((resolve) => setTimeout(resolve, followEveryMs));
  }
}
