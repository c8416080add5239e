import { describe, expect, it } from "vitest";
import type { EndpointPlace } from "./endpoints.ts";
import type { Holding, ShutPort } from "./messages.ts";
import { ListenWatch } from "./listen-watch-shell.ts";

const places: EndpointPlace[] = [
  { id: "writer", type: "writer", port: 5432 },
  { id: "reader", type: "reader", port: 5433 },
];
const taken = { id: "reader", port: 5433, isTaken: true, why: "address in use" };
const page = { id: "status page", port: 8432, isTaken: true, why: "address in use" };

function proxyOf(watch: ListenWatch) {
  const gone = new AbortController();
  const peer = { tell: () => undefined, signal: gone.signal };
  return {
    says: (open: string[], ...shut: ShutPort[]) =>
      watch.handlers["listening"]?.({ open, shut }, peer),
    saysLoopback: (...loopback: string[]) =>
      watch.handlers["listening"]?.({ open: [], shut: [], loopback }, peer),
    holds: (...holding: Holding) => watch.handlers["holding"]?.(holding, peer),
    ends: () => gone.abort(),
  };
}

describe("what still runs where nothing more is to begin", () => {
  it("is known once every proxy that listens has taken the topology, and is the sum of theirs", () => {
    const watch = new ListenWatch();
    expect(watch.remainingOn("i1", "7.1"), "nobody is there").toEqual({ statements: 0, blocks: 0 });
    const [one, other] = [proxyOf(watch), proxyOf(watch)];
    one.says(["writer"]);
    other.says(["writer"]);
    expect(watch.remainingOn("i1", "7.1")).toBeUndefined();
    one.holds({ id: "i1", incarnation: "7.1", statements: 2, blocks: 1 });
    expect(watch.remainingOn("i1", "7.1")).toBeUndefined();
    other.holds({ id: "i2", incarnation: "8.1", statements: 7, blocks: 7 });
    expect(watch.remainingOn("i1", "7.1")).toBeUndefined();
    other.holds({ id: "i1", incarnation: "7.1", statements: 1, blocks: 1 });
    expect(watch.remainingOn("i1", "7.1")).toEqual({ statements: 3, blocks: 2 });
    expect(watch.remainingOn("i1", "7.2"), "another life of it").toBeUndefined();
    one.holds({ id: "i1", incarnation: "7.1", statements: 0, blocks: 0 });
    expect(watch.remainingOn("i1", "7.1")).toEqual({ statements: 1, blocks: 1 });
    other.ends();
    expect(watch.remainingOn("i1", "7.1")).toEqual({ statements: 0, blocks: 0 });
  });
});

describe("the cluster listens", () => {
  it("when a proxy has every endpoint open, and the status page is", () => {
    const watch = new ListenWatch();
    const proxy = proxyOf(watch);
    expect(watch.sight(places)).toEqual({ isListening: false, shut: [] });
    watch.takePage("open");
    proxy.says(["writer"], taken);
    expect(watch.sight(places)).toEqual({ isListening: false, shut: [taken] });
    proxy.says(["reader", "writer"]);
    expect(watch.sight(places)).toEqual({ isListening: true, shut: [] });
    watch.takePage(page);
    expect(watch.sight(places)).toEqual({ isListening: false, shut: [page] });
  });

  it("at those further addresses at which every proxy does", () => {
    const watch = new ListenWatch();
    expect(watch.loopback).toEqual([]);
    const [one, other] = [proxyOf(watch), proxyOf(watch)];
    one.saysLoopback("127.0.0.2", "127.0.0.10");
    expect(watch.loopback).toEqual(["127.0.0.2", "127.0.0.10"]);
    other.saysLoopback("127.0.0.10");
    expect(watch.loopback).toEqual(["127.0.0.10"]);
    expect(watch.lastKnownLoopback).toEqual(["127.0.0.10"]);
    for (const proxy of [one, other]) proxy.ends();
    expect([watch.loopback, watch.lastKnownLoopback]).toEqual([[], ["127.0.0.10"]]);
    proxyOf(watch).saysLoopback();
    expect(watch.lastKnownLoopback).toEqual([]);
  });

  it("no longer when the proxy is gone, or has not heard of an endpoint yet", () => {
    const watch = new ListenWatch();
    const proxy = proxyOf(watch);
    watch.takePage("open");
    proxy.says(["writer", "reader"]);
    const more: EndpointPlace[] = [...places, { id: "late", type: "custom", port: 5463 }];
    expect(watch.sight(more).isListening).toBe(false);
    proxy.ends();
    expect(watch.sight(places).isListening).toBe(false);
  });
});
