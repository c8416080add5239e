import { messageOf } from "../base/errors.ts";
import { type Clock, formatAddress, type Logger, Scope, sleep } from "../io/index.ts";
import { type Endpoint, endpointKey } from "./endpoint-options.ts";
import type { EndpointServer } from "./endpoint-shell.ts";

export interface EndpointSetOptions {
  readonly server: Pick<EndpointServer, "open" | "shut">;
  /** Those that the server has opened already. */
  readonly opened: readonly Endpoint[];
  readonly clock: Clock;
  readonly logger: Logger;
  /** `states` are others. */
  readonly onChange?: () => void;
}

/** A port that somebody has is tried again after this. */
const retryMs = 500;

/** How one of the endpoints that are wanted is. */
export interface EndpointState {
  readonly endpoint: Endpoint;
  /** `shut`: it could not be opened, and is tried again. `waiting`: it was not tried yet. */
  readonly kind: "open" | "shut" | "waiting";
  /** What the system says, if it is shut. */
  readonly error?: unknown;
}

/** Opens and shuts endpoints as the cluster comes to have others, while those that stay go on. */
export class EndpointSet {
  private readonly options: EndpointSetOptions;
  private readonly opened: Map<string, Endpoint>;
  private readonly failures = new Map<string, unknown>();
  private readonly scope: Scope;
  private wanted: readonly Endpoint[];
  private isBusy = false;
  private isStale = false;

  constructor(options: EndpointSetOptions) {
    this.options = options;
    this.wanted = options.opened;
    this.opened = new Map(options.opened.map((one) => [endpointKey(one), one]));
    this.scope = new Scope((error) => {
      options.logger.error({ event: "endpoints.failed" }, messageOf(error));
    });
  }

  /** From now on these are to be open, and no others. */
  follow(wanted: readonly Endpoint[]): void {
    this.wanted = wanted;
    const keys = new Set(wanted.map(endpointKey));
    for (const key of this.failures.keys()) if (!keys.has(key)) this.failures.delete(key);
    this.isStale = true;
    if (this.isBusy) return;
    this.isBusy = true;
    this.scope.run((signal) =>
      this.catchUp(signal).finally(() => {
        this.isBusy = false;
      }),
    );
  }

  /** In the order in which they are wanted. */
  get states(): EndpointState[] {
    return this.wanted.map((endpoint) => {
      const key = endpointKey(endpoint);
      const opened = this.opened.get(key);
      if (opened && isSame(opened, endpoint)) return { endpoint, kind: "open" };
      const error = this.failures.get(key);
      return error === undefined
        ? { endpoint, kind: "waiting" }
        : { endpoint, kind: "shut", error };
    });
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
      const missing = wanted.filter((one) => !this.opened.has(endpointKey(one)));
      for (const endpoint of missing) if (!this.isStale) await this.open(endpoint);
      if (this.isStale || this.wanted.every((one) => this.opened.has(endpointKey(one)))) continue;
      this.isStale = true;
      await sleep(clock, retryMs, signal);
    }
  }

  private async shutUnwanted(): Promise<void> {
    for (const [key, known] of this.opened) {
      if (this.wanted.some((one) => isSame(one, known))) continue;
      this.opened.delete(key);
      this.failures.delete(key);
      await this.options.server.shut(key);
      this.options.logger.info({ event: "endpoint.shut", endpoint: key });
      this.options.onChange?.();
    }
  }

  private async open(endpoint: Endpoint): Promise<void> {
    const { server, logger, onChange } = this.options;
    const key = endpointKey(endpoint);
    const before = this.failures.get(key);
    try {
      await server.open(endpoint);
      this.opened.set(key, endpoint);
      this.failures.delete(key);
      logger.info({ event: "endpoint.opened", endpoint: key });
    } catch (error) {
      this.failures.set(key, error);
      if (before !== undefined && messageOf(before) === messageOf(error)) return;
      logger.warn({ event: "endpoint.notOpened", endpoint: key }, messageOf(error));
    }
    onChange?.();
  }
}

function isSame(a: Endpoint, b: Endpoint): boolean {
  return (
    endpointKey(a) === endpointKey(b) &&
    a.type === b.type &&
    formatAddress(a.address) === formatAddress(b.address)
  );
}
