import { Socket, type SocketConstructorOpts } from "node:net";

/**
 * A socket that is read to its end, whatever happens to what is written. Node's own destroys itself at the first EPIPE,
 * and at a reset (a peer that dies with bytes unread causes one), and with it goes what the peer had said before and
 * nobody has read yet, in the kernel or in the stream's own buffer.
 */
export class PatientSocket extends Socket {
  constructor(options: SocketConstructorOpts = {}) {
    super({ ...options, allowHalfOpen: true });
  }

  override _write(chunk: unknown, encoding: BufferEncoding, done: Done): void {
    super._write(chunk, encoding, withoutFailure(done));
  }

  override _writev(chunks: { chunk: unknown; encoding: BufferEncoding }[], done: Done): void {
    // It is there since Node 0.11; the types leave it open.
    super._writev?.(chunks, withoutFailure(done));
  }

  override destroy(error?: Error): this {
    if (error === undefined || this.destroyed || !isReset(error)) return super.destroy(error);
    // As an end of stream it comes behind what is buffered.
    this.push(null);
    return this;
  }
}

/** ECONNRESET, too: the first to look takes it, and a write may be the first. */
const goneCodes = new Set<unknown>(["EPIPE", "ECONNRESET"]);

type Done = (error?: Error | null) => void;

/** The peer is gone: nobody is left to be told, and its end is seen by reading. */
function withoutFailure(done: Done): Done {
  return (error) => done(error && goneCodes.has(codeOf(error)) ? null : error);
}

function isReset(error: Error): boolean {
  return codeOf(error) === "ECONNRESET" && "syscall" in error && error.syscall === "read";
}

function codeOf(error: Error): unknown {
  return "code" in error ? error.code : undefined;
}
