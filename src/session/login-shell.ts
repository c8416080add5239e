import { BorealisError, ProtocolViolation, sqlState } from "../base/errors.ts";
import {
  acceptTls,
  type Clock,
  type Connection,
  type Entropy,
  sleep,
  type TlsServer,
} from "../io/index.ts";
import {
  encodeError,
  encodeNegotiateVersion,
  frontend,
  protocolMinorMax,
  type StartupRequest,
} from "../wire/index.ts";
import { type AdminDatabase, adminDatabaseName } from "./admin-visit.ts";
import { type AdminSessions, adminUser, type Login, noInstance } from "./admin-shell.ts";
import { Authentication } from "./authentication.ts";
import { PacketReader } from "./packet-reader-shell.ts";
import { readStart, type StartWishes } from "./start-options.ts";
import type { Topology } from "./topology.ts";

export interface LoginDeps {
  readonly topology: Topology;
  readonly admin: AdminSessions;
  readonly clock: Clock;
  readonly entropy: Entropy;
  readonly tls: TlsServer | undefined;
  readonly requiresTls: boolean;
  readonly mockSecret: Buffer;
  readonly authenticationTimeoutMs: number;
  readonly holdTimeoutMs: number;
  readonly adminDatabase?: AdminDatabase;
}

/** How a connection's opening ended. */
export type Opening =
  | { readonly kind: "cancel"; readonly pid: number; readonly key: Buffer }
  | LoggedIn
  /** The client was told why, or is gone. */
  | { readonly kind: "refused"; readonly reason: string; readonly user: string | undefined };

export interface LoggedIn {
  readonly kind: "loggedIn";
  readonly request: StartupRequest;
  readonly wishes: StartWishes;
  /** The protocol's minor version that both sides now speak. */
  readonly minor: number;
  readonly settings: readonly string[];
  /** See Login. */
  readonly stamp: string | undefined;
  /** What the client sent beyond its login. */
  readonly rest: Buffer;
}

const readOn = { kind: "readOn" } as const;

/** From the first byte to a proven identity: TLS, start-up packet, password. */
export class LoginConversation {
  private readonly deps: LoginDeps;
  private readonly connection: Connection;
  private reader: PacketReader;
  private isSecure = false;
  private isShakingHands = false;
  private hasStarted = false;
  private user: string | undefined;

  constructor(connection: Connection, deps: LoginDeps) {
    this.connection = connection;
    this.deps = deps;
    this.reader = new PacketReader(connection);
  }

  async run(): Promise<Opening> {
    const { clock, authenticationTimeoutMs } = this.deps;
    const timeout = new BorealisError(
      sqlState.queryCanceled,
      "canceling authentication due to timeout",
    );
    const timer = clock.after(authenticationTimeoutMs, () => {
      // Nothing can be said in the middle of a handshake.
      if (this.isShakingHands) this.connection.destroy();
      else this.reader.abort(timeout);
    });
    try {
      return await this.converse();
    } catch (error) {
      // A bug must be seen by the caller's log; an outsider's mistake or absence is an ordinary end.
      if (!(error instanceof BorealisError)) throw error;
      return this.refuse(error);
    } finally {
      timer.cancel();
    }
  }

  private refuse(error: BorealisError): Opening {
    if (this.reader.isGone || this.isShakingHands) this.connection.destroy();
    // Who never finished a start-up packet does not speak our language; an error goes out all the same, as stock does.
    else this.connection.end(encodeError(error, "FATAL"));
    return { kind: "refused", reason: error.message, user: this.user };
  }

  private async converse(): Promise<Opening> {
    for (;;) {
      const opening = await this.open();
      if (opening.kind !== "readOn") return opening;
    }
  }

  private async open(): Promise<Opening | typeof readOn> {
    const isFirst = !this.hasStarted;
    this.hasStarted = true;
    // A TLS ClientHello without an SSLRequest before it: PostgreSQL 17's sslnegotiation=direct.
    if (isFirst && (await this.reader.firstByte()) === 0x16) {
      await this.startTls({ isDirect: true });
      return readOn;
    }
    const packet = await this.reader.startupPacket();
    switch (packet.kind) {
      case "cancel":
        return packet;
      case "gss":
        this.refuseEarlyBytes("GSSAPI encryption");
        this.connection.write(Buffer.from("N"));
        return readOn;
      case "ssl":
        this.refuseEarlyBytes("SSL");
        if (this.deps.tls && !this.isSecure) {
          this.connection.write(Buffer.from("S"));
          await this.startTls({ isDirect: false });
        } else this.connection.write(Buffer.from("N"));
        return readOn;
      case "startup":
        return this.logIn(packet);
    }
  }

  /** Bytes that somebody on the way slipped in before encryption began would be taken for the client's (CVE-2021-23222). */
  private refuseEarlyBytes(what: string): void {
    if (this.reader.bufferedBytes === 0) return;
    throw new ProtocolViolation(`received unencrypted data after ${what} request`, {
      detail:
        "This could be either a client-software bug or evidence of an attempted man-in-the-middle attack.",
    });
  }

  private async startTls({ isDirect }: { isDirect: boolean }): Promise<void> {
    const { tls } = this.deps;
    if (!tls) throw new ProtocolViolation("TLS is not available at this endpoint");
    const alreadyRead = this.reader.takeRest();
    this.isShakingHands = true;
    await acceptTls(this.connection, tls, { alreadyRead, requireAlpn: isDirect });
    this.isShakingHands = false;
    this.isSecure = true;
    this.reader = new PacketReader(this.connection);
  }

  private async logIn(request: StartupRequest): Promise<Opening> {
    const minor = Math.min(request.minor, protocolMinorMax);
    if (request.minor > protocolMinorMax || request.protocolOptions.length > 0) {
      this.connection.write(encodeNegotiateVersion(minor, request.protocolOptions));
    }
    const wishes = readStart(request);
    this.user = wishes.user;
    if (this.deps.requiresTls && !this.isSecure) {
      throw new BorealisError(
        sqlState.invalidAuthorization,
        "this endpoint takes encrypted connections only",
        {
          hint: "Connect with sslmode=require.",
        },
      );
    }
    if (wishes.user === adminUser) {
      throw new BorealisError(
        sqlState.invalidAuthorization,
        `role "${adminUser}" is not permitted to log in`,
        { hint: "It is the cluster's own. Use the master user." },
      );
    }
    const login = await this.lookUp(wishes);
    await this.authenticate(wishes, login);
    this.refuseAdmin(wishes);
    const { settings, stamp } = login;
    const rest = this.reader.takeRest();
    return { kind: "loggedIn", request, wishes, minor, settings, stamp, rest };
  }

  /** The database `borealis` is no PostgreSQL's, and the master user's alone. */
  private refuseAdmin({ user, database }: StartWishes): void {
    if (database !== adminDatabaseName) return;
    const { adminDatabase } = this.deps;
    if (!adminDatabase) {
      throw new BorealisError(
        sqlState.notSupported,
        `database "${database}" is reserved and not available here`,
        { hint: "`borealis status --json` shows the cluster." },
      );
    }
    const { masterUser } = adminDatabase;
    if (user === masterUser) return;
    throw new BorealisError(
      sqlState.insufficientPrivilege,
      `permission denied for database "${database}"`,
      {
        detail: `It shows the cluster to its master user, "${masterUser}", alone.`,
        hint: "Connect to another database, or as the master user.",
      },
    );
  }

  /** Waits while no instance can be asked. Raises 57P03 after hold_timeout. */
  private async lookUp({ user, database }: StartWishes): Promise<Login> {
    const { admin, clock, holdTimeoutMs } = this.deps;
    const startMs = clock.nowMs();
    for (;;) {
      const login = await admin.findLogin(user, database);
      if (login) return login;
      if (this.reader.isGone)
        throw new BorealisError(sqlState.connectionFailure, "the client went away");
      if (clock.nowMs() - startMs > holdTimeoutMs) throw noInstance();
      await sleep(clock, 100);
    }
  }

  private async authenticate({ user }: StartWishes, { role }: Login): Promise<void> {
    const { tls, mockSecret, entropy } = this.deps;
    const authentication = new Authentication({
      user,
      role,
      mockSecret,
      certificateHash: this.isSecure ? tls?.certificateHash : undefined,
      random: entropy.bytes(22),
    });
    this.connection.write(authentication.start());
    for (;;) {
      const step = authentication.answer(await this.reader.message(frontend.password));
      if (step.kind === "refused") throw step.error;
      if (step.bytes.length > 0) this.connection.write(step.bytes);
      if (step.kind === "accepted") return;
    }
  }
}
