import type { RpcHandler } from "../io/index.ts";
import { ByPeer } from "./by-peer.ts";
import type { SessionFigures } from "../session/index.ts";
import { sessionFiguresSchema } from "./session-messages.ts";
import { sumOfFigures } from "./session-sum.ts";

/** What proxies have said of their sessions last. A proxy counts as long as its line; the next one begins at nothing. */
export class SessionWatch {
  private readonly proxies = new ByPeer<SessionFigures>();

  readonly handlers: Readonly<Record<string, RpcHandler>> = {
    sessions: (params, proxy) => this.proxies.take(proxy, sessionFiguresSchema.parse(params)),
  };

  /** Of all proxies together; undefined: none has said anything. */
  get figures(): SessionFigures | undefined {
    return sumOfFigures(this.proxies.all);
  }
}
