import { startWorker, type WorkerThread } from "../io/index.ts";
import { bestCompression, type Codec, type Compression } from "../volume/index.ts";
import type { Packed, PackOrder } from "./packing.ts";

interface Waiting {
  readonly plain: Uint8Array;
  resolve(packed: Promise<Buffer> | Buffer): void;
}

/** Compresses in a thread of its own that gives way to others, one after the other. It lives until `close`. */
export class PackingThread implements Compression {
  private readonly best = bestCompression();
  private readonly worker: WorkerThread;
  private readonly waiting = new Map<number, Waiting>();
  private lastId = 0;
  private isGone = false;

  constructor(startThread = startPacking) {
    this.worker = startThread();
    this.worker.onMessage((raw) => {
      // The thread posts nothing else.
      const { id, packed } = raw as Packed;
      this.waiting.get(id)?.resolve(Buffer.from(packed.buffer, packed.byteOffset, packed.length));
      this.waiting.delete(id);
    });
    this.worker.onExit(() => this.lose());
  }

  get codec(): Codec {
    return this.best.codec;
  }

  pack(plain: Uint8Array): Promise<Buffer> {
    if (this.isGone) return this.best.pack(plain);
    const id = ++this.lastId;
    return new Promise((resolve) => {
      this.waiting.set(id, { plain, resolve });
      // Of a part of a buffer the whole buffer would go over.
      const isWhole = plain.byteLength === plain.buffer.byteLength;
      this.worker.post({ id, plain: isWhole ? plain : Uint8Array.from(plain) } satisfies PackOrder);
    });
  }

  unpack(codec: Codec, packed: Buffer, plainBytes: number): Promise<Buffer | undefined> {
    return this.best.unpack(codec, packed, plainBytes);
  }

  close(): void {
    this.worker.stop();
    this.lose();
  }

  /** It was out of memory, or is not wanted any more: what it has not done is done without it. */
  private lose(): void {
    this.isGone = true;
    for (const { plain, resolve } of this.waiting.values()) resolve(this.best.pack(plain));
    this.waiting.clear();
  }
}

function startPacking(): WorkerThread {
  return startWorker({ name: "./packing-worker-shell", base: import.meta.url }, null);
}
