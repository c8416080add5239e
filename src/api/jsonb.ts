/** JSON as jsonb prints it: a space behind colons and commas, shorter keys first. Raises RangeError for what is nested too deeply. */
export function printJson(json: unknown): string {
  if (Array.isArray(json)) return `[${json.map(printJson).join(", ")}]`;
  if (typeof json !== "object" || json === null) return JSON.stringify(json);
  const members = Object.entries(json).toSorted(([a], [b]) => compareKeys(a, b));
  return `{${members.map(([key, value]) => `${JSON.stringify(key)}: ${printJson(value)}`).join(", ")}}`;
}

function compareKeys(a: string, b: string): number {
  const [first, second] = [Buffer.from(a), Buffer.from(b)];
  return first.length - second.length || Buffer.compare(first, second);
}
