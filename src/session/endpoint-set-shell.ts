import { messageOf } from "../base/errors.ts";
import { type Clock, formatAddress, type Logger, Scope, sleep } from "../io/index.ts";
import type { Endpoint, EndpointServer } from "./endpoint-shell.ts";

export interface EndpointSetOptions {
  readonly server: Pick<EndpointServer, "open" | "shut">;
  /** Those that the server has opened already. */
  readonly opened: readonly Endpoint[];
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A port that somebody has is tried again after this. */
const retryMs = 1_000;

/** Opens and shuts endpoints as the cluster comes to have others, while those that stay go on. */
export class EndpointSet {
  private readonly options: EndpointSetOptions;
  private readonly opened: Map<string, Endpoint>;
  private readonly scope: Scope;
  private wanted: readonly Endpoint[];
  private isBusy = false;
  private isStale = false;

  constructor(options: EndpointSetOptions) {
    this.options = options;
    this.wanted = options.opened;
    this.opened = new Map(options.opened.map((one) => [one.id, one]));
    this.scope = new Scope((error) => {
      options.logger.error({ event: "endpoints.failed" }, messageOf(error));
    });
  }

  /** From now on these are to be open, and no others. */
  follow(wanted: readonly Endpoint[]): void {
    this.wanted = wanted;
    this.isStale = true;
    if (this.isBusy) return;
    this.isBusy = true;
    this.scope.run((signal) =>
      this.catchUp(signal).finally(() => {
        this.isBusy = false;
      }),
    );
  }

  close(): Promise<void> {
    return this.scope.close("the proxy stops");
  }

  private async catchUp(signal: AbortSignal): Promise<void> {
    const { clock } = this.options;
    while (this.isStale && !signal.aborted) {
      this.isStale = false;
      await this.shutUnwanted();
      const { wanted } = this;
      const missing = wanted.filter((one) => !this.opened.has(one.id));
      for (const endpoint of missing) if (!this.isStale) await this.open(endpoint);
      if (this.isStale || this.wanted.every((one) => this.opened.has(one.id))) continue;
      this.isStale = true;
      await sleep(clock, retryMs, signal);
    }
  }

  private async shutUnwanted(): Promise<void> {
    for (const known of this.opened.values()) {
      if (this.wanted.some((one) => isSame(one, known))) continue;
      this.opened.delete(known.id);
      await this.options.server.shut(known.id);
      this.options.logger.info({ event: "endpoint.shut", endpoint: known.id });
    }
  }

  private async open(endpoint: Endpoint): Promise<void> {
    const { server, logger } = this.options;
    try {
      await server.open(endpoint);
      this.opened.set(endpoint.id, endpoint);
      logger.info({ event: "endpoint.opened", endpoint: endpoint.id });
    } catch (error) {
      logger.warn({ event: "endpoint.notOpened", endpoint: endpoint.id }, messageOf(error));
    }
  }
}

function isSame(a: Endpoint, b: Endpoint): boolean {
  return (
    a.id === b.id && a.type === b.type && formatAddress(a.address) === formatAddress(b.address)
  );
}
