import type { RpcHandler, RpcPeer } from "../io/index.ts";
import type { SessionFigures } from "../session/index.ts";
import { sessionFiguresSchema } from "./session-messages.ts";
import { sumOfFigures } from "./session-sum.ts";

/** What proxies have said of their sessions last. A proxy counts as long as its line; the next one begins at nothing. */
export class SessionWatch {
  private readonly proxies = new Map<RpcPeer, SessionFigures>();

  readonly handlers: Readonly<Record<string, RpcHandler>> = {
    sessions: (params, proxy) => {
      const isNew = !this.proxies.has(proxy);
      this.proxies.set(proxy, sessionFiguresSchema.parse(params));
      const leave = (): void => void this.proxies.delete(proxy);
      if (isNew) proxy.signal.addEventListener("abort", leave, { once: true });
    },
  };

  /** Of all proxies together; undefined: none has said anything. */
  get figures(): SessionFigures | undefined {
    return sumOfFigures([...this.proxies.values()]);
  }
}
