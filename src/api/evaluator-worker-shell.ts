/**
 * The thread that parses and evaluates for the admin database. Both may take as long as a client likes: the parser is an
 * Earley parser in JavaScript, and what a SELECT computes is the client's own; and the proxy's own loop carries every session
 * of the cluster. Who started it stops it when it takes too long.
 */
import { BorealisError, messageOf } from "../base/errors.ts";
import type { ParentThread } from "../io/index.ts";
import { errorData, Evaluator, type FromEvaluator, type Order, syntaxError } from "./evaluation.ts";

export async function run(parent: ParentThread): Promise<void> {
  const { parse } = await import("pgsql-ast-parser");
  const evaluator = new Evaluator((text) => {
    try {
      return parse(text, { locationTracking: true });
    } catch (error) {
      throw failureOf(error, text);
    }
  });
  const post = (message: FromEvaluator): void => parent.post(message);
  parent.onMessage((raw) => {
    // Written by evaluator-shell.ts, in this process.
    const order = raw as Order;
    const { id } = order;
    try {
      post({ kind: "done", id, outcome: evaluator.answer(order) });
    } catch (error) {
      if (error instanceof BorealisError) post({ kind: "failed", id, error: errorData(error) });
      else post({ kind: "broken", id, reason: messageOf(error) });
    }
  });
  post({ kind: "ready" });
  // The thread lives until whoever started it stops it.
  return new Promise(() => undefined);
}

/** What PostgreSQL would say; the parser's own words go over many lines of grammar. */
function failureOf(error: unknown, text: string): BorealisError {
  const token = tokenOf(error);
  if (token && token.offset < text.length)
    return syntaxError(`syntax error at or near "${token.text}"`, token.offset);
  const isAtEnd = error instanceof Error && error.message.startsWith("Unexpected end of input");
  return syntaxError(isAtEnd ? "syntax error at end of input" : "syntax error", text.length);
}

function tokenOf(error: unknown): { offset: number; text: string } | undefined {
  if (typeof error !== "object" || error === null || !("token" in error)) return undefined;
  const { token } = error;
  if (typeof token !== "object" || token === null) return undefined;
  if (!("offset" in token) || !("text" in token) || typeof token.offset !== "number")
    return undefined;
  return { offset: token.offset, text: String(token.text).slice(0, 60) };
}
