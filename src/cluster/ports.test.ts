import { expect, test } from "vitest";
import {
  customEndpointsMax,
  customPort,
  instancePort,
  instancesMax,
  loopbackAddress,
  loopbackAddresses,
} from "./ports.ts";

test("each endpoint has a loopback address of its own, and none has everybody's", () => {
  const at = (port: number): string => loopbackAddress(port, 6000);
  expect([6000, 6001].map(at)).toEqual(["127.0.0.10", "127.0.0.2"]);
  expect([1, instancesMax].map((n) => at(instancePort(6000, n)))).toEqual([
    "127.0.0.11",
    "127.0.0.26",
  ]);
  expect(at(customPort(6000, 0))).toBe("127.0.0.31");
  const all = new Set(loopbackAddresses());
  expect(all.size).toBe(2 + instancesMax + customEndpointsMax);
  expect(all).not.toContain("127.0.0.1");
  expect(all).toContain(at(customPort(6000, customEndpointsMax - 1)));
});
