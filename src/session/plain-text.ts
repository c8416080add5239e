/** In these a byte that looks like a backslash may be the second half of a character. */
const trickyEncodings = new Set([
  "SJIS",
  "BIG5",
  "GBK",
  "UHC",
  "GB18030",
  "JOHAB",
  "SHIFT_JIS_2004",
]);
const hasOther = /[^ -~\s]/;

/** PostgreSQL, with these parameters, reads the text as our parser does. */
export function isPlainText(sql: string, parameters: ReadonlyMap<string, string>): boolean {
  // It says what a backslash means, and nothing else.
  if (parameters.get("standard_conforming_strings") === "off" && sql.includes("\\")) return false;
  const isSafe = !trickyEncodings.has(parameters.get("client_encoding") ?? "UTF8");
  return isSafe || !hasOther.test(sql);
}
