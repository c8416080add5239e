import { extentBytesMax } from "./extent-format.ts";
import type { Piece } from "./pieces.ts";

/** An extent that pieces lie in. Its id is known once it is whole. */
export interface ExtentRef {
  id: string;
  plainBytes: number;
}

/** An extent to be stored. Whoever gets it owns the bytes. */
export interface CutExtent {
  readonly id: string;
  readonly plain: Buffer;
}

/** Puts small runs of bytes side by side into extents. */
export class ExtentPacker {
  private readonly close: (ref: ExtentRef, plain: Buffer) => void;
  private ref: ExtentRef = { id: "", plainBytes: 0 };
  private bytes: Buffer = Buffer.alloc(0);
  private fill = 0;

  /** `close` names an extent that is full, and takes its bytes. */
  constructor(close: (ref: ExtentRef, plain: Buffer) => void) {
    this.close = close;
  }

  /** In one piece; smaller than an extent. */
  add(bytes: Uint8Array): Piece<ExtentRef> {
    if (this.fill + bytes.length > this.bytes.length) this.flush();
    if (this.bytes.length === 0) this.bytes = Buffer.allocUnsafe(extentBytesMax);
    const at = this.fill;
    this.bytes.set(bytes, at);
    this.fill += bytes.length;
    return { extent: this.ref, at, lengthBytes: bytes.length };
  }

  flush(): void {
    if (this.fill === 0) return;
    this.ref.plainBytes = this.fill;
    this.close(this.ref, this.bytes.subarray(0, this.fill));
    this.ref = { id: "", plainBytes: 0 };
    this.bytes = Buffer.alloc(0);
    this.fill = 0;
  }
}
