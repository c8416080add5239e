/** What PackingThread and its thread say to each other. */
export interface PackOrder {
  readonly id: number;
  readonly plain: Uint8Array;
}

export interface Packed {
  readonly id: number;
  readonly packed: Uint8Array;
}
