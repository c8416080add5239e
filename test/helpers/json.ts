/** What a command printed with --json: one document and nothing else. */
export function documentIn(stdout: string): unknown {
  return JSON.parse(stdout);
}
