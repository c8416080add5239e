import type { RpcHandler } from "../io/index.ts";
import { ByPeer } from "./by-peer.ts";
import type { EndpointPlace } from "./endpoints.ts";
import {
  type Holding,
  holdingSchema,
  type Listening,
  listeningSchema,
  type Remaining,
  type ShutPort,
} from "./messages.ts";

/**
 * Who listens at the cluster's ports: what proxies say of theirs, and whether the status page is open. A port that was free when
 * somebody looked may be another's a moment later, so only who listens knows.
 */
export class ListenWatch {
  private readonly proxies = new ByPeer<Listening>();
  private readonly holding = new ByPeer<Holding>();
  private lastLoopback: readonly string[] = [];
  /** Undefined: nobody has tried yet. */
  private page: ShutPort | "open" | undefined;

  /** A proxy says how its endpoints are; what it said counts as long as its line. */
  readonly handlers: Readonly<Record<string, RpcHandler>> = {
    listening: (params, proxy) => this.proxies.take(proxy, listeningSchema.parse(params)),
    holding: (params, proxy) => this.holding.take(proxy, holdingSchema.parse(params)),
  };

  /** What still runs there for sessions; undefined: a proxy has not heard yet that nothing more is to begin there. */
  remainingOn(id: string, incarnation: string): Remaining | undefined {
    const sum = { statements: 0, blocks: 0 };
    for (const proxy of this.proxies.peers) {
      const told = this.holding
        .of(proxy)
        ?.find((one) => one.id === id && one.incarnation === incarnation);
      if (!told) return undefined;
      sum.statements += told.statements;
      sum.blocks += told.blocks;
    }
    return sum;
  }

  takePage(page: ShutPort | "open"): void {
    this.page = page;
  }

  /** Further addresses at which all proxies listen. */
  get loopback(): string[] {
    const [first, ...others] = this.proxies.all;
    return (first?.loopback ?? []).filter((one) =>
      others.every(({ loopback }) => loopback.includes(one)),
    );
  }

  /** The same, or what it was while a proxy was there. */
  get lastKnownLoopback(): readonly string[] {
    if (this.proxies.all.length > 0) this.lastLoopback = this.loopback;
    return this.lastLoopback;
  }

  /** `shut`: ports that somebody tried in vain to open, and tries again. */
  sight(places: readonly EndpointPlace[]): { isListening: boolean; shut: ShutPort[] } {
    const told = this.proxies.all;
    const isEverywhere = ({ id }: EndpointPlace): boolean =>
      told.length > 0 && told.every(({ open }) => open.includes(id));
    const { page } = this;
    const shut = told.flatMap((one) => one.shut);
    if (page && page !== "open") shut.push(page);
    return { isListening: page === "open" && places.every(isEverywhere), shut };
  }
}
