import { messageOf } from "../base/errors.ts";
import type { EndpointPlace } from "../cluster/index.ts";
import { type AddressList, type Logger, openAddressList } from "../io/index.ts";
import type { Admission } from "../session/index.ts";

/** From where the endpoints of a proxy take connections. */
export class AccessLists implements Admission {
  /** Undefined: from everywhere. */
  private readonly usual: AddressList | undefined;
  private readonly logger: Logger;
  private own = new Map<string, { readonly key: string; readonly list: AddressList }>();

  /** `usual`: for endpoints without a list of their own; empty: from everywhere. */
  constructor(usual: readonly string[], logger: Logger) {
    this.usual = usual.length > 0 ? openAddressList(usual) : undefined;
    this.logger = logger;
  }

  /** The endpoints as they are now. */
  follow(places: readonly EndpointPlace[]): void {
    const before = this.own;
    // One that is no more may be open for a moment yet: it is no door for others.
    this.own = new Map([...before].filter(([id]) => !places.some((place) => place.id === id)));
    for (const { id, allow } of places) {
      if (!allow) continue;
      const key = allow.join();
      const known = before.get(id);
      this.own.set(id, known?.key === key ? known : { key, list: this.open(id, allow) });
    }
  }

  admits(endpoint: string, address: string): boolean {
    return (this.own.get(endpoint)?.list ?? this.usual)?.has(address) ?? true;
  }

  /** The control plane has looked at it; should it be none all the same, nobody is let in by mistake. */
  private open(endpoint: string, allow: readonly string[]): AddressList {
    try {
      return openAddressList(allow);
    } catch (error) {
      this.logger.error({ event: "access.unreadable", endpoint }, messageOf(error));
      return openAddressList([]);
    }
  }
}
