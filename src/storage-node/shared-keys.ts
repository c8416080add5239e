import { assert } from "../base/assert.ts";
import { dataKeyBytes, type DataKeyId } from "../keys/index.ts";

// A slot is written again only after so many rotations; a worker copies a key within microseconds of looking.
const slotCount = 8;
const slotBytes = 4 + dataKeyBytes;

/**
 * The current data key, where append workers see it: they wait in a blocking read and hear no messages. Written by
 * the main thread only; the slot is complete before it is named.
 */
export class SharedKeys {
  readonly memory: SharedArrayBuffer;
  private readonly turn: Int32Array;
  private readonly slots: Buffer;

  /** Over memory made by another thread, or over new memory, with no key. */
  constructor(memory = new SharedArrayBuffer(4 + slotCount * slotBytes)) {
    this.memory = memory;
    this.turn = new Int32Array(memory, 0, 1);
    this.slots = Buffer.from(memory, 4);
  }

  /** From now on new frames are encrypted with this key. */
  set(id: DataKeyId, key: Buffer): void {
    assert(key.length === dataKeyBytes, "a data key is 32 bytes");
    const next = this.changes + 1;
    const at = (next % slotCount) * slotBytes;
    this.slots.writeUInt32BE(id, at);
    this.slots.set(key, at + 4);
    Atomics.store(this.turn, 0, next);
  }

  /** Grows with each `set`; 0: there is no key, frames are not encrypted. */
  get changes(): number {
    return Atomics.load(this.turn, 0);
  }

  /** The current key, copied; undefined: there is none. */
  read(): { readonly id: DataKeyId; readonly key: Buffer } | undefined {
    const { changes } = this;
    if (changes === 0) return undefined;
    const at = (changes % slotCount) * slotBytes;
    return {
      id: this.slots.readUInt32BE(at),
      key: Buffer.from(this.slots.subarray(at + 4, at + slotBytes)),
    };
  }
}
