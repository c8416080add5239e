import type { Origin } from "./half-open-book.ts";

/** Who has one address of IPv6 has a network of 64 bits, as a rule; who has many of those, often one of 48. */
const wordsOf = { address: 4, network: 3 } as const;

/**
 * Whom an address stands for where what it does is counted: an IPv4 address itself, also where an IPv6 socket tells it; of IPv6
 * its network of 64 bits. Anything else stands for itself.
 */
export function addressKey(address: string): string {
  return keyOf(address, wordsOf.address);
}

/** ... and, of IPv6, the network of 48 bits that it is one of 65,536 in. */
export function originOf(address: string): Origin {
  return { address: addressKey(address), network: keyOf(address, wordsOf.network) };
}

function keyOf(address: string, count: number): string {
  const [, mapped] = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address) ?? [];
  if (mapped !== undefined) return mapped;
  if (!address.includes(":")) return address;
  const [plain = ""] = address.split("%");
  const [head = "", tail] = plain.split("::");
  const words = head === "" ? [] : head.split(":");
  const after = tail === undefined || tail === "" ? [] : tail.split(":");
  while (tail !== undefined && words.length + after.length < 8) words.push("0");
  const all = [...words, ...after].slice(0, count);
  const prefix = all.map((word) => Number.parseInt(word, 16).toString(16)).join(":");
  return `${prefix}::/${count * 16}`;
}
