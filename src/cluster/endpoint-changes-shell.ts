import { type Logger, openAddressList, type RpcHandler } from "../io/index.ts";
import { withAccess, withoutAccess } from "./access.ts";
import {
  type EndpointWish,
  plannedEndpoint,
  withEndpoint,
  withEndpointChanged,
  withoutEndpoint,
} from "./custom-endpoints.ts";
import { accessWishSchema, endpointWishSchema, namedSchema } from "./messages.ts";
import { customPort } from "./ports.ts";
import type { ClusterState } from "./state.ts";

export interface EndpointChangesOptions {
  readonly logger: Logger;
  /** Of the writer endpoint. */
  readonly port: number;
  /** The cluster's state, and its durable replacement in one go. */
  readonly state: () => ClusterState;
  readonly save: (change: (state: ClusterState) => ClusterState) => void;
  /** Raises 55000 while nothing can be changed. */
  readonly requireReady: () => void;
  /** Raises 55000 if somebody has that port. */
  readonly requirePort: (port: number, what: string) => Promise<void>;
  /** The proxies are to be told. */
  readonly onChange: () => void;
}

/** Creates, changes and deletes custom endpoints; each change is in control/state.json before a proxy hears of it. */
export class EndpointChanges {
  private readonly options: EndpointChangesOptions;

  constructor(options: EndpointChangesOptions) {
    this.options = options;
  }

  readonly handlers: Readonly<Record<string, RpcHandler>> = {
    createEndpoint: (params) => this.create(parseWish(params)),
    modifyEndpoint: (params) => this.modify(parseWish(params)),
    deleteEndpoint: (params) => this.delete(namedSchema.parse(params).id),
    setAccess: (params) => this.setAccess(accessWishSchema.parse(params)),
  };

  private async create(wish: EndpointWish): Promise<void> {
    const { state, save, requireReady, requirePort, logger, port } = this.options;
    requireReady();
    const { id, ordinal } = plannedEndpoint(state(), wish);
    await requirePort(customPort(port, ordinal), `the endpoint ${id}`);
    requireReady();
    // Planned anew: another one may have been created meanwhile. Its proxy then waits for the port that was not tried.
    const added = plannedEndpoint(state(), wish);
    save((now) => withEndpoint(now, added));
    logger.info({ event: "endpoint.created", endpoint: id, type: added.type, list: added.list });
    this.options.onChange();
  }

  private modify(wish: EndpointWish): void {
    const { save, requireReady, logger, onChange } = this.options;
    requireReady();
    save((now) => withEndpointChanged(now, wish));
    logger.info({
      event: "endpoint.modified",
      endpoint: wish.id,
      type: wish.type,
      list: wish.list,
    });
    onChange();
  }

  /** From where an endpoint takes connections from now on; those that are there stay. */
  private setAccess({ endpoint, allow }: { endpoint: string; allow: string[] | null }): void {
    const { save, requireReady, logger, onChange } = this.options;
    requireReady();
    openAddressList(allow ?? []);
    save((now) => withAccess(now, endpoint, allow));
    logger.info({ event: "access.changed", endpoint, allow });
    onChange();
  }

  private delete(id: string): void {
    const { save, requireReady, logger, onChange } = this.options;
    requireReady();
    save((now) => withoutAccess(withoutEndpoint(now, id), id));
    logger.info({ event: "endpoint.deleted", endpoint: id });
    onChange();
  }
}

function parseWish(params: unknown): EndpointWish {
  const { id, type, list } = endpointWishSchema.parse(params);
  return { id, type: type ?? undefined, list: list ?? undefined };
}
