/**
 * LIKE: `%` is any text, `_` any character, a backslash takes the next one as it is. In time proportional to the product of
 * the two lengths at worst, whatever the pattern.
 */
export function matchesPattern(text: string, pattern: string, ignoresCase: boolean): boolean {
  const characters = Array.from(ignoresCase ? text.toLowerCase() : text);
  const parts = partsOf(ignoresCase ? pattern.toLowerCase() : pattern);
  let at = 0;
  let part = 0;
  /** Where to go on if this attempt fails: behind the last `%`, with one more character given to it. */
  let retryPart = -1;
  let retryAt = 0;
  while (at < characters.length) {
    const wanted = parts[part];
    if (wanted?.kind === "any") {
      retryPart = ++part;
      retryAt = at;
    } else if (wanted && (wanted.kind === "one" || wanted.character === characters[at])) {
      part++;
      at++;
    } else if (retryPart >= 0) {
      part = retryPart;
      at = ++retryAt;
    } else return false;
  }
  while (parts[part]?.kind === "any") part++;
  return part === parts.length;
}

type Part = { kind: "any" } | { kind: "one" } | { kind: "exactly"; character: string };

function partsOf(pattern: string): Part[] {
  const parts: Part[] = [];
  const characters = Array.from(pattern);
  for (let index = 0; index < characters.length; index++) {
    const character = characters[index] ?? "";
    if (character === "%") parts.push({ kind: "any" });
    else if (character === "_") parts.push({ kind: "one" });
    else if (character === "\\" && index + 1 < characters.length)
      parts.push({ kind: "exactly", character: characters[++index] ?? "" });
    else parts.push({ kind: "exactly", character });
  }
  return parts;
}
