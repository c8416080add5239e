/**
 * Requests that SQL functions leave for the agent (inject-functions.ts): a file each, in the data directory, of hexadecimal JSON in
 * one line, so that half a file is told from a whole one. PostgreSQL's user can write anything there.
 */
import { type RequestAnswer, requestSchema, type SurfaceRequest } from "./fault-messages.ts";

export const requestPrefix = "borealis_request_";
export const requestBytesMax = 16_384;
const named = /^borealis_request_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const whole = /^(?:[0-9a-f]{2})+\n$/;

/** Older ones are nobody's any more: the function has given up, or the file is a copy. */
const freshMs = 15_000;
/** Of clocks that were set. */
const earlyMs = 5_000;
/** So many answers are shown; each function looks twenty times a second. */
const answersMax = 16;

export function isRequestName(name: string): boolean {
  return named.test(name);
}

export type ReadRequest =
  | { readonly kind: "partial" }
  /** Not for us, or nothing that is understood. */
  | { readonly kind: "stray"; readonly why: string }
  | { readonly kind: "request"; readonly request: SurfaceRequest };

/** `of`: whom requests are for; `nowMs` since 1970. */
export function readRequest(
  text: string,
  { of, nowMs }: { readonly of: string; readonly nowMs: number },
): ReadRequest {
  if (!whole.test(text)) return { kind: "partial" };
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(text.trim(), "hex").toString("utf8"));
  } catch {
    return { kind: "stray", why: "it is no JSON" };
  }
  const { data: request } = requestSchema.safeParse(value);
  if (!request) return { kind: "stray", why: "it is no request" };
  if (request.of !== of) return { kind: "stray", why: "it is another instance's" };
  const ageMs = nowMs - request.atMs;
  if (ageMs > freshMs || ageMs < -earlyMs) return { kind: "stray", why: "it is of another time" };
  return { kind: "request", request };
}

/** The same with one more, and no more than are shown. */
export function withAnswer(
  answers: readonly RequestAnswer[],
  answer: RequestAnswer,
): readonly RequestAnswer[] {
  return [...answers, answer].slice(-answersMax);
}
