/** A parameter of a query, decoded. */
export interface Encoded {
  readonly name: string;
  readonly value: string;
}

/** A token has eight or nine. */
const parametersMax = 32;

/** RFC 3986's letters of a query, less "+", which is a blank to some and itself to others. */
const form = /^([\w.~!$'()*,;:@/?%-]+)=([\w.~!$'()*,;:@/?%=-]*)$/;

/** By name; undefined if it is no such text, or has a name twice: the two sides might not mean the same one. */
export function parseQuery(text: string): ReadonlyMap<string, Encoded> | undefined {
  const found = new Map<string, Encoded>();
  const parts = text.split("&", parametersMax + 1);
  if (parts.length > parametersMax) return undefined;
  for (const part of parts) {
    const [, rawName, rawValue] = form.exec(part) ?? [];
    if (rawName === undefined || rawValue === undefined) return undefined;
    const name = decode(rawName);
    const value = decode(rawValue);
    if (name === undefined || value === undefined || found.has(name)) return undefined;
    found.set(name, { name, value });
  }
  return found;
}

/** What the signature is over: each encoded in the one way, sorted. */
export function canonicalQuery(parameters: readonly Encoded[]): string {
  return parameters
    .map(({ name, value }) => ({ name: encode(name), value: encode(value) }))
    .toSorted((a, b) => order(a.name, b.name) || order(a.value, b.value))
    .map(({ name, value }) => `${name}=${value}`)
    .join("&");
}

/** Byte by byte, as both are ASCII. */
function order(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/** RFC 3986: everything but letters, digits and -._~. */
export function encode(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (letter) => `%${letter.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/** Undefined for what is not percent-encoded UTF-8. */
function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch (error) {
    if (error instanceof URIError) return undefined;
    throw error;
  }
}
