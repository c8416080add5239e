/** What a command printed with --json, without the lines of progress that come before the document. */
export function documentIn(stdout: string): unknown {
  const lines = stdout.split("\n").filter((line) => !line.startsWith('{"progress"'));
  return JSON.parse(lines.join("\n"));
}
