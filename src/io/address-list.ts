import { BlockList, isIP } from "node:net";
import { BorealisError, sqlState } from "../base/errors.ts";

/** Stretches of IP addresses. */
export interface AddressList {
  /** As sockets tell a peer's address; of an IPv4 peer on an IPv6 socket, too. False for what is no IP address. */
  has(address: string): boolean;
}

const bitsOf = { 4: 32, 6: 128 } as const;

/**
 * From texts like `10.0.0.0/8`, `fd00::/8`, or a single address. IPv4 and IPv6 are apart: `::/0` is all of IPv6 and nothing of
 * IPv4. Raises BorealisError 22023 for what is neither.
 */
export function openAddressList(texts: readonly string[]): AddressList {
  // One for both would take ::/0 for all of IPv4, and 0.0.0.0/0 for a stretch of IPv6.
  const lists = { 4: new BlockList(), 6: new BlockList() };
  for (const text of texts) {
    const { family, network, prefix } = parseStretch(text);
    lists[family].addSubnet(network, prefix, family === 4 ? "ipv4" : "ipv6");
  }
  return {
    has: (address) => {
      const plain = plainAddress(address);
      const family = isIP(plain);
      if (family === 4) return lists[4].check(plain, "ipv4");
      return family === 6 && lists[6].check(plain, "ipv6");
    },
  };
}

/** An IPv4 address as such, though an IPv6 socket told it; without the name of an interface. */
function plainAddress(address: string): string {
  const [, mapped] = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address) ?? [];
  return mapped ?? address.replace(/%.*$/, "");
}

function parseStretch(text: string): { family: 4 | 6; network: string; prefix: number } {
  const [network = "", bits, ...more] = text.split("/");
  const family = isIP(network);
  if ((family !== 4 && family !== 6) || more.length > 0 || network.includes("%"))
    throw refused(text, "write 10.0.0.0/8, fd00::/8 or an address");
  if (family === 6 && /^(?:0*:)*:?ffff:/i.test(network))
    throw refused(text, "write the IPv4 addresses that it stands for as such");
  const prefix = bits === undefined ? bitsOf[family] : Number(bits);
  const isPrefix = bits === undefined || (/^\d{1,3}$/.test(bits) && prefix <= bitsOf[family]);
  if (!isPrefix) throw refused(text, `behind the slash is a number from 0 to ${bitsOf[family]}`);
  return { family, network, prefix };
}

function refused(text: string, hint: string): BorealisError {
  return new BorealisError(sqlState.invalidParameter, `"${text}" is no stretch of addresses`, {
    hint,
  });
}
