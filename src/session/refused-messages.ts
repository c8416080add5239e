import { BorealisError } from "../base/errors.ts";
import type { Refusal } from "../route/index.ts";
import {
  encodeError,
  encodeReadyForQuery,
  frontend,
  MessageScanner,
  transactionState,
} from "../wire/index.ts";
import { clientHeadOf } from "./client-heads.ts";

const ready = encodeReadyForQuery(transactionState.idle);
/** They belong to a batch, which one error answers up to its Sync. */
const extended = new Set<number>([
  frontend.parse,
  frontend.bind,
  frontend.describe,
  frontend.execute,
  frontend.close,
]);

/** Answers what a client sent outside a transaction, and what no server ever saw, with one error each. */
export class RefusedMessages {
  private readonly error: Buffer;
  private readonly scanner = new MessageScanner(clientHeadOf);
  private isInBatch = false;
  hasTerminated = false;

  constructor(error: Buffer) {
    this.error = error;
  }

  /** Gives what the client is told. Raises ProtocolViolation. */
  push(chunk: Buffer): Buffer {
    const told: Buffer[] = [];
    this.scanner.begin(chunk);
    while (this.scanner.next() && !this.hasTerminated) told.push(...this.answer(this.scanner.type));
    return Buffer.concat(told);
  }

  /** What comes next is a new beginning. */
  get isSettled(): boolean {
    return this.scanner.isAtBoundary && !this.isInBatch;
  }

  private answer(type: number): Buffer[] {
    if (type === frontend.terminate) this.hasTerminated = true;
    else if (type === frontend.sync) {
      this.isInBatch = false;
      return [ready];
    } else if (this.isInBatch) return [];
    else if (extended.has(type)) {
      this.isInBatch = true;
      return [this.error];
    } else if (type === frontend.query || type === frontend.functionCall)
      return [this.error, ready];
    return [];
  }
}

/** What a client is told of a statement that its endpoint refuses. */
export function encodeRefusal({ code, message, hint }: Refusal): Buffer {
  return encodeError(new BorealisError(code, message, { hint }), "ERROR");
}
