import { BorealisError, sqlState } from "../base/errors.ts";
import { type Connection, listen, type Listener, listenTls, type Logger } from "../io/index.ts";
import type { StorageNodeConfig } from "./node-config.ts";

/**
 * Listens where the configuration says: on a unix socket, which the system keeps from other users, or on TCP for
 * processes of the cluster only. Who has no certificate of the cluster is closed before a byte of theirs is looked at.
 * Raises 55000 without a certificate of our own, 22023 for an address without any protection.
 */
export function listenForLinks(
  { address, credential }: Pick<StorageNodeConfig, "address" | "credential">,
  logger: Logger,
  onConnection: (connection: Connection) => void,
): Promise<Listener> {
  if (address.kind === "unix") return listen(address, onConnection);
  if (address.kind === "tcp") {
    const why = "a storage node does not listen on TCP without TLS";
    throw new BorealisError(sqlState.invalidParameter, why);
  }
  if (!credential) {
    const why = "a storage node needs a certificate to listen on TCP";
    throw new BorealisError(sqlState.notInPrerequisiteState, why);
  }
  let count = 0;
  return listenTls(address, onConnection, {
    credential,
    roles: ["instance", "storage-node", "control-plane"],
    onRefused: (refusal) => {
      // A stranger who knocks all day fills no log: the 1st, the 10th, the 100th time.
      if (!isPowerOfTen(++count)) return;
      logger.warn({ event: "link.stranger", count, ...refusal }, "refused a link from outside");
    },
  });
}

function isPowerOfTen(count: number): boolean {
  return /^10*$/.test(String(count));
}
