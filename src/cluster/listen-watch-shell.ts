import type { RpcHandler, RpcPeer } from "../io/index.ts";
import type { EndpointPlace } from "./endpoints.ts";
import { type Listening, listeningSchema, type ShutPort } from "./messages.ts";

/**
 * Who listens at the cluster's ports: what proxies say of theirs, and whether the status page is open. A port that was free when
 * somebody looked may be another's a moment later, so only who listens knows.
 */
export class ListenWatch {
  private readonly proxies = new Map<RpcPeer, Listening>();
  /** Undefined: nobody has tried yet. */
  private page: ShutPort | "open" | undefined;

  /** A proxy says how its endpoints are; what it said counts as long as its line. */
  readonly handlers: Readonly<Record<string, RpcHandler>> = {
    listening: (params, proxy) => {
      const isNew = !this.proxies.has(proxy);
      this.proxies.set(proxy, listeningSchema.parse(params));
      const leave = (): void => void this.proxies.delete(proxy);
      if (isNew) proxy.signal.addEventListener("abort", leave, { once: true });
    },
  };

  takePage(page: ShutPort | "open"): void {
    this.page = page;
  }

  /** `shut`: ports that somebody tried in vain to open, and tries again. */
  sight(places: readonly EndpointPlace[]): { isListening: boolean; shut: ShutPort[] } {
    const told = [...this.proxies.values()];
    const isEverywhere = ({ id }: EndpointPlace): boolean =>
      told.length > 0 && told.every(({ open }) => open.includes(id));
    const { page } = this;
    const shut = told.flatMap((one) => one.shut);
    if (page && page !== "open") shut.push(page);
    return { isListening: page === "open" && places.every(isEverywhere), shut };
  }
}
