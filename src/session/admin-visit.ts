import type { BorealisError } from "../base/errors.ts";
import type { ClientLink } from "./client-link.ts";
import type { TokenProof } from "./token-logins.ts";

/** Whoever serves the database `borealis`: it is no PostgreSQL's, and endpoints only let clients in there. */
export interface AdminDatabase {
  /** Nobody else may connect to it. */
  readonly masterUser: string;
  readonly serve: (visit: AdminVisit) => AdminVisitor;
}

/** A client that has proven who it is, and has not been told so yet. */
export interface AdminVisit {
  readonly client: ClientLink;
  readonly user: string;
  /** Whose token it came in by; undefined: by password. */
  readonly proof: TokenProof | undefined;
  /** The client's address, for logs. */
  readonly remote: string;
  readonly database: string;
  /** What the client sent beyond its login. */
  readonly rest: Buffer;
  /** Settings of its start-up packet, by lower-case name. */
  readonly wishes: ReadonlyMap<string, string>;
  /** For BackendKeyData; a cancel request with them finds nobody. */
  readonly pid: number;
  readonly key: Buffer;
  /** To be called when the last word has been said: the client gets a moment to read it. */
  readonly linger: () => void;
  /** To be called once, when the connection is gone. */
  readonly onEnd: () => void;
}

/** One that is being served. */
export interface AdminVisitor {
  /** Ends it with this error. */
  readonly terminate: (error: BorealisError) => void;
}

export const adminDatabaseName = "borealis";
