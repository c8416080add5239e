import { describe, expect, it } from "vitest";
import { openAddressList } from "./address-list.ts";

describe("a list of addresses", () => {
  it.each<[string, string, boolean]>([
    ["10.0.0.0/8", "10.255.0.1", true],
    ["10.0.0.0/8", "11.0.0.1", false],
    // Bits behind the prefix mean nothing.
    ["10.1.2.3/8", "10.9.9.9", true],
    ["10.0.0.0/9", "10.128.0.1", false],
    ["127.0.0.1", "127.0.0.1", true],
    ["127.0.0.1", "127.0.0.2", false],
    ["0.0.0.0/0", "203.0.113.7", true],
    ["fd00::/8", "fd12:3456::1", true],
    ["fd00::/8", "fe80::1", false],
    ["2001:db8::/33", "2001:db8:8000::1", false],
    ["::1", "::1", true],
    ["fe80::/10", "fe80::1%eth0", true],
    // How a socket of both families tells an IPv4 peer.
    ["10.0.0.0/8", "::ffff:10.1.1.1", true],
    ["10.0.0.0/8", "::FFFF:11.1.1.1", false],
    // All of one family is nothing of the other.
    ["::/0", "10.0.0.1", false],
    ["::/0", "::ffff:10.0.0.1", false],
    ["0.0.0.0/0", "::1", false],
    ["0.0.0.0/0", "[local]", false],
  ])("%s has %s: %s", (stretch, address, expected) => {
    expect(openAddressList([stretch]).has(address)).toBe(expected);
  });

  it("is the sum of its stretches, and has nobody without any", () => {
    const list = openAddressList(["10.0.0.0/8", "fd00::/8", "192.0.2.1"]);
    const addresses = ["10.1.1.1", "fd00::1", "192.0.2.1", "192.0.2.2", "::1"];
    expect(addresses.map((one) => list.has(one))).toEqual([true, true, true, false, false]);
    expect(openAddressList([]).has("127.0.0.1")).toBe(false);
  });

  it.each([
    "",
    "localhost",
    "10.0.0.0/33",
    "10.0.0.0/-1",
    "10.0.0.0/8/8",
    "10.0.0.0/",
    "10.0.0.0/0x8",
    "010.0.0.1",
    "10.0.0",
    "::/129",
    "fe80::1%eth0",
    "::ffff:10.0.0.0/104",
    "0:0:0:0:0:ffff:a00:1",
  ])("refuses %s", (text) => {
    expect(() => openAddressList([text])).toThrow(/no stretch of addresses/);
  });
});
