import { constants } from "node:crypto";
import type { Socket } from "node:net";
import { connect as connectSecure, type ConnectionOptions } from "node:tls";
import { BorealisError, sqlState } from "../base/errors.ts";

/**
 * Mutual TLS between the processes of one cluster. The cluster has a certificate authority of its own, every process a
 * certificate for its role; both sides show theirs before the first byte of any protocol of ours. TLS 1.3 only, and a
 * full handshake for every connection: nothing is resumed that was not checked.
 */
export type ClusterRole = "storage-node" | "instance" | "control-plane";

/** PEM texts. Travels in configurations, over pipes; the key is never logged. */
export interface ClusterCredential {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

export interface TlsDial {
  readonly credential: ClusterCredential;
  /** Whom we want to meet. */
  readonly role: ClusterRole;
}

/** The name in a certificate that stands for a role. */
export function roleName(role: ClusterRole): string {
  return `${role}.borealis.internal`;
}

/** What both ends ask for. */
export function tlsOptions(credential: ClusterCredential) {
  const { ca, cert, key } = credential;
  const version = "TLSv1.3" as const;
  const secureOptions = constants.SSL_OP_NO_TICKET;
  return { ca, cert, key, minVersion: version, maxVersion: version, secureOptions };
}

/** A socket on its way to be secure; it fails like any other. Raises 55000 without a credential. */
export function connectTls(
  to: { readonly host: string; readonly port: number },
  dial: TlsDial | undefined,
): Socket {
  if (!dial) {
    const why = `tls://${to.host}:${to.port} asks for a certificate of the cluster`;
    throw new BorealisError(sqlState.notInPrerequisiteState, `${why}, and there is none here`);
  }
  // Node checks the certificate against this name, which is a role and no host.
  const options: ConnectionOptions & { allowHalfOpen: boolean } = {
    ...to,
    ...tlsOptions(dial.credential),
    servername: roleName(dial.role),
    rejectUnauthorized: true,
    allowHalfOpen: true,
  };
  const socket = connectSecure(options);
  socket.setNoDelay(true);
  return socket;
}
