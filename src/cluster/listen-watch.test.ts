import { describe, expect, it } from "vitest";
import type { EndpointPlace } from "./endpoints.ts";
import type { ShutPort } from "./messages.ts";
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
    ends: () => gone.abort(),
  };
}

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
