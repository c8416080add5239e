import type { Rng } from "../base/rng.ts";

/**
 * The only randomness of the simulator: what happens at an event is drawn from the seed and the event's name alone. So an
 * event that is dropped while a failure is shrunk leaves what the others draw as it was.
 */
export class Dice implements Rng {
  private state: number;

  /** `name`: of what is decided, or its hash. */
  constructor(seed: number, name: string | number, count = 0) {
    const hash = typeof name === "number" ? name : hashOf(name);
    this.state = mix(mix(seed >>> 0, hash), count);
  }

  next(): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.state ^ (this.state >>> 15), this.state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  }
  below(below: number): number {
    return Math.floor(this.next() * below);
  }
  /** True once in `times`, on average. */
  oneIn(times: number): boolean {
    return this.next() * times < 1;
  }
  isBelow(probability: number): boolean {
    return this.next() < probability;
  }
  between(low: number, high: number): number {
    return low + this.next() * (high - low);
  }
  pick<T>(from: readonly T[]): T | undefined {
    return from[this.below(from.length)];
  }
}

function mix(a: number, b: number): number {
  let h = Math.imul(a ^ b ^ 0x9e3779b9, 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

const hashes = new Map<string, number>();

/** FNV-1a; names repeat, so it is computed once for each. */
export function hashOf(text: string): number {
  const known = hashes.get(text);
  if (known !== undefined) return known;
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  const hash = h >>> 0;
  if (hashes.size < 10_000) hashes.set(text, hash);
  return hash;
}
