/** The value with $name and ${name} replaced in every string of it; names that are not known stay ($1, $$, $body$). */
export function substitute<T>(value: T, variables: ReadonlyMap<string, string>): T;
export function substitute(value: unknown, variables: ReadonlyMap<string, string>): unknown {
  if (typeof value === "string") {
    if (!value.includes("$")) return value;
    return value.replace(
      /\$(?:\{(\w+)\}|([A-Za-z_]\w*)(?!\$))/g,
      (written, braced?: string, bare?: string) => {
        return variables.get(braced ?? bare ?? "") ?? written;
      },
    );
  }
  if (Array.isArray(value)) return value.map((item: unknown) => substitute(item, variables));
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(
      Object.entries(value).map(([key, field]) => [key, substitute(field, variables)]),
    );
  }
  return value;
}
