import type { Socket } from "node:net";
import { createServer, type TLSSocket } from "node:tls";
import { messageOf } from "../base/errors.ts";
import { type ClusterCredential, type ClusterRole, roleName, tlsOptions } from "./cluster-tls.ts";
import { Connection, type Listener } from "./connection.ts";

export interface TlsListenOptions {
  readonly credential: ClusterCredential;
  /** Who may come in. */
  readonly roles: readonly ClusterRole[];
  /** Somebody was turned away; nothing that they sent was looked at. */
  readonly onRefused: (refusal: TlsRefusal) => void;
  /** For a whole handshake; 5 s unless told. */
  readonly handshakeTimeoutMs?: number;
}

export interface TlsRefusal {
  readonly reason: "handshake" | "role";
  readonly remote: string;
  readonly why: string;
}

/** Handshakes under way, at most: strangers hold no more sockets than this, and keep nobody of ours out. */
const handshakesMax = 128;

/**
 * Listens on TCP for processes of this cluster. A connection is handed on only when its handshake is done, its
 * certificate is of the cluster's authority and valid now, and names one of `roles`. Everybody else's is closed. Raises
 * the system's error (EADDRINUSE), and Node's for a credential that cannot be used.
 */
export function listenTls(
  address: { readonly kind: "tls"; readonly host: string; readonly port: number },
  onConnection: (connection: Connection) => void,
  options: TlsListenOptions,
): Promise<Listener> {
  const { credential, roles, onRefused } = options;
  const pending = new Set<Socket>();
  const server = createServer({
    ...tlsOptions(credential),
    requestCert: true,
    rejectUnauthorized: true,
    handshakeTimeout: options.handshakeTimeoutMs ?? 5_000,
    allowHalfOpen: true,
    noDelay: true,
  });
  const refuse = (socket: Socket, reason: TlsRefusal["reason"], why: string): void => {
    onRefused({ reason, why, remote: `${socket.remoteAddress ?? "?"}:${socket.remotePort ?? 0}` });
    socket.destroy();
  };
  server.on("connection", (socket: Socket) => {
    // One of ours is done within milliseconds: who has waited longest is a stranger. Their handshake fails by this.
    const [oldest] = pending;
    if (oldest && pending.size >= handshakesMax) {
      pending.delete(oldest);
      oldest.destroy();
    }
    pending.add(socket);
    socket.once("close", () => pending.delete(socket));
  });
  server.on("tlsClientError", (error, socket) => refuse(socket, "handshake", messageOf(error)));
  server.on("secureConnection", (socket) => {
    forget(pending, socket);
    const hasRole = roles.some((role) => isOfRole(socket, role));
    if (!hasRole) return refuse(socket, "role", "its certificate is for another role");
    onConnection(new Connection(socket));
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host: address.host, port: address.port, backlog: 511 }, () => {
      server.off("error", reject);
      const bound = server.address();
      const port = typeof bound === "object" && bound ? bound.port : address.port;
      const close = (): Promise<void> => {
        for (const socket of pending) socket.destroy();
        // Open connections are their owners': nobody waits for them.
        server.close();
        server.unref();
        return Promise.resolve();
      };
      resolve({ address: { kind: "tls", host: address.host, port }, close });
    });
  });
}

/** A TLS socket hides the one that it came on; both have the same peer. */
function forget(pending: Set<Socket>, socket: TLSSocket): void {
  for (const one of pending) {
    if (one.remotePort === socket.remotePort && one.remoteAddress === socket.remoteAddress)
      pending.delete(one);
  }
}

function isOfRole(socket: TLSSocket, role: ClusterRole): boolean {
  if (!socket.authorized) return false;
  const name = roleName(role);
  return socket.getPeerX509Certificate()?.checkHost(name, { subject: "never" }) === name;
}
