import { randomBytes, randomInt, randomUUID } from "node:crypto";
import type { Rng } from "../base/rng.ts";

/** Randomness fit for secrets and identities. */
export interface Entropy {
  bytes(length: number): Buffer;
  uuid(): string;
}

export const realEntropy: Entropy = {
  bytes: (length) => randomBytes(length),
  uuid: () => randomUUID(),
};

/** Randomness for back-off and choice, from the operating system. */
export const realRng: Rng = {
  next: () => randomInt(0, 2 ** 32) / 2 ** 32,
  below: (below) => randomInt(0, below),
};
