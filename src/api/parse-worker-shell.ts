/**
 * The thread that parses for the admin database: the parser is an Earley parser in JavaScript, which takes seconds for what
 * a person could type in, and the proxy's own loop carries every session of the cluster.
 */
import type { ParentThread } from "../io/index.ts";
import type { FromParser, ParseOrder } from "./parse-messages.ts";

export async function run(parent: ParentThread): Promise<void> {
  const { parse } = await import("pgsql-ast-parser");
  const post = (message: FromParser): void => parent.post(message);
  parent.onMessage((raw) => {
    // Written by parse-shell.ts, in this process.
    const { id, text } = raw as ParseOrder;
    try {
      post({ kind: "parsed", id, statements: parse(text, { locationTracking: true }) });
    } catch (error) {
      post({ kind: "failed", id, ...failureOf(error, text) });
    }
  });
  post({ kind: "ready" });
  // The thread lives until whoever started it stops it.
  return new Promise(() => undefined);
}

/** What PostgreSQL would say; the parser's own words go over many lines of grammar. */
function failureOf(error: unknown, text: string): { message: string; at: number | null } {
  const token = tokenOf(error);
  if (token && token.offset < text.length)
    return { message: `syntax error at or near "${token.text}"`, at: token.offset };
  const isAtEnd = error instanceof Error && error.message.startsWith("Unexpected end of input");
  return { message: isAtEnd ? "syntax error at end of input" : "syntax error", at: null };
}

function tokenOf(error: unknown): { offset: number; text: string } | undefined {
  if (typeof error !== "object" || error === null || !("token" in error)) return undefined;
  const { token } = error;
  if (typeof token !== "object" || token === null) return undefined;
  if (!("offset" in token) || !("text" in token) || typeof token.offset !== "number")
    return undefined;
  return { offset: token.offset, text: String(token.text).slice(0, 60) };
}
