import { expect, it } from "vitest";
import { addressKey, originOf } from "./address-key.ts";

it.each([
  ["127.0.0.1", "127.0.0.1"],
  ["::ffff:127.0.0.1", "127.0.0.1"],
  ["::FFFF:10.0.0.1", "10.0.0.1"],
  ["::1", "0:0:0:0::/64"],
  ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
  ["2001:0db8:0001:0002::ffff", "2001:db8:1:2::/64"],
  ["2001:db8::1", "2001:db8:0:0::/64"],
  ["fe80::1%eth0", "fe80:0:0:0::/64"],
  ["[local]", "[local]"],
])("%s counts as %s", (address, key) => {
  expect(addressKey(address)).toBe(key);
});

it("has a wider network of IPv6", () => {
  expect(originOf("2001:db8:1:2::3")).toEqual({
    address: "2001:db8:1:2::/64",
    network: "2001:db8:1::/48",
  });
  expect(originOf("192.0.2.1")).toEqual({ address: "192.0.2.1", network: "192.0.2.1" });
});
