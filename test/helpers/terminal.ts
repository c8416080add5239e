/** Commands at a real terminal: `script` of util-linux gives them a pty, and types what the test writes. */
import { spawn, spawnSync } from "node:child_process";
import { startScript } from "./cluster.ts";

function scriptArgs(command: string): string[] {
  return ["--quiet", "--return", "--flush", "--command", command, "/dev/null"];
}

/** Whether there are terminals to be had here; where not, the tests that need one are skipped, and counted. */
export function hasTerminals(): boolean {
  const isTerminal = "test -t 0 && test -t 1 && test -t 2";
  return spawnSync("script", scriptArgs(isTerminal), { stdio: "ignore" }).status === 0;
}

export interface Conversation {
  readonly code: number | null;
  /** All that the terminal showed, what was typed too, in lines as they end up: without what was written over. */
  readonly shown: string;
  /** Byte for byte. */
  readonly raw: string;
}

/** Runs a command of ours at a terminal; types `answer` when it has shown `question`. */
export function atTerminal(
  args: readonly string[],
  { question, answer }: { readonly question: string; readonly answer: string },
): Promise<Conversation> {
  const command = [process.execPath, startScript, ...args].map(quoted).join(" ");
  const child = spawn("script", scriptArgs(`exec ${command}`), {
    stdio: ["pipe", "pipe", "inherit"],
  });
  let raw = "";
  let isAnswered = false;
  child.stdout.on("data", (chunk) => {
    raw += String(chunk);
    if (isAnswered || !raw.includes(question)) return;
    isAnswered = true;
    child.stdin.write(answer);
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, shown: shownOf(raw), raw }));
  });
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", String.raw`'\''`)}'`;
}

/** A carriage return goes back to the line's beginning, and what follows is written over it. */
function shownOf(raw: string): string {
  const escape = String.fromCharCode(27);
  const plain = raw.replaceAll(new RegExp(`${escape}\\[[0-9;]*[A-Za-z]`, "g"), "");
  const lines = plain.replaceAll("\r\n", "\n").split("\n");
  return lines.map((line) => line.slice(line.lastIndexOf("\r") + 1)).join("\n");
}
