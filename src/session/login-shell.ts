import type { Standing } from "../access/index.ts";
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
  encodeCleartextRequest,
  encodeError,
  encodeNegotiateVersion,
  frontend,
  parsePassword,
  protocolMinorMax,
  type StartupRequest,
} from "../wire/index.ts";
import { type AdminDatabase, adminDatabaseName } from "./admin-visit.ts";
import { type AdminSessions, adminUser, type Login, noInstance } from "./admin-shell.ts";
import { Authentication, type AuthenticationStep } from "./authentication.ts";
import { PacketReader } from "./packet-reader-shell.ts";
import type { PasswordTurns } from "./password-turns-shell.ts";
import { arrivedAt, readStart, type StartWishes } from "./start-options.ts";
import { plainRefusal, tokenRefusal, type TokenLogins, type TokenProof } from "./token-logins.ts";
import type { Topology } from "./topology.ts";

export interface LoginDeps {
  readonly topology: Topology;
  readonly admin: AdminSessions;
  readonly clock: Clock;
  readonly entropy: Entropy;
  readonly tls: TlsServer | undefined;
  readonly requiresTls: boolean;
  readonly mockSecret: Buffer;
  readonly turns: PasswordTurns;
  readonly authenticationTimeoutMs: number;
  readonly holdTimeoutMs: number;
  readonly adminDatabase?: AdminDatabase;
  readonly tokenLogins?: TokenLogins | undefined;
  /** As in Endpoint. */
  readonly loopback?: string | undefined;
}

/** How a connection's opening ended. */
export type Opening =
  | { readonly kind: "cancel"; readonly pid: number; readonly key: Buffer }
  | LoggedIn
  /** The client was told why, or is gone. */
  | {
      readonly kind: "refused";
      readonly reason: string;
      /** What more is known of it, of which the client may not have been told. */
      readonly why: string | undefined;
      readonly user: string | undefined;
      readonly database: string | undefined;
    };

export interface LoggedIn {
  readonly kind: "loggedIn";
  readonly request: StartupRequest;
  readonly wishes: StartWishes;
  /** The protocol's minor version that both sides now speak. */
  readonly minor: number;
  readonly settings: readonly string[];
  /** See Login. */
  readonly stamp: string | undefined;
  /** Of a member of rds_iam. */
  readonly proof: TokenProof | undefined;
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
  private wishes: StartWishes | undefined;
  private why: string | undefined;

  constructor(connection: Connection, deps: LoginDeps) {
    this.connection = connection;
    this.deps = deps;
    this.reader = new PacketReader(connection);
  }

  /** How far it is, for whoever has to make room. */
  get standing(): Standing {
    if (this.isShakingHands) return "silent";
    switch (this.reader.waitsFor) {
      case "client":
        return this.wishes ? "owing" : "silent";
      case "us":
        return "slowed";
      case undefined:
        return "served";
    }
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
    const { why, wishes } = this;
    const { user, database } = wishes ?? { user: undefined, database: undefined };
    return { kind: "refused", reason: error.message, why, user, database };
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

  private async logIn(received: StartupRequest): Promise<Opening> {
    const request = arrivedAt(received, this.deps.loopback);
    const minor = Math.min(request.minor, protocolMinorMax);
    if (request.minor > protocolMinorMax || request.protocolOptions.length > 0) {
      this.connection.write(encodeNegotiateVersion(minor, request.protocolOptions));
    }
    const wishes = readStart(request);
    this.wishes = wishes;
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
    const proof = await this.authenticate(wishes, login);
    this.refuseAdmin(wishes, login);
    const { settings, stamp } = login;
    const rest = this.reader.takeRest();
    return { kind: "loggedIn", request, wishes, minor, settings, stamp, proof, rest };
  }

  /** The database `borealis` is no PostgreSQL's, and the master user's alone. */
  private refuseAdmin({ user, database }: StartWishes, { mayLogIn }: Login): void {
    if (database !== adminDatabaseName) return;
    // Elsewhere PostgreSQL says so itself.
    if (!mayLogIn)
      throw new BorealisError(
        sqlState.invalidAuthorization,
        `role "${user}" is not permitted to log in`,
      );
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
    const address = this.connection.remoteAddress ?? "[local]";
    const isGone = (): boolean => this.reader.isGone;
    for (;;) {
      const login = await admin.logins.ask({ address, user, database, isGone });
      if (login) return login;
      if (this.reader.isGone)
        throw new BorealisError(sqlState.connectionFailure, "the client went away");
      if (clock.nowMs() - startMs > holdTimeoutMs) throw noInstance();
      await sleep(clock, 100);
    }
  }

  private async authenticate(
    wishes: StartWishes,
    { role, needsToken }: Login,
  ): Promise<TokenProof | undefined> {
    const { tls, mockSecret, entropy, tokenLogins } = this.deps;
    if (tokenLogins && needsToken) return this.authenticateByToken(wishes, tokenLogins);
    const { user } = wishes;
    const authentication = new Authentication({
      user,
      role,
      mockSecret,
      certificateHash: this.isSecure ? tls?.certificateHash : undefined,
      random: entropy.bytes(22),
    });
    this.connection.write(authentication.start());
    for (;;) {
      const message = await this.reader.message(frontend.password);
      const answer = (): Exclude<AuthenticationStep, { kind: "refused" }> | BorealisError => {
        const given = authentication.answer(message);
        return given.kind === "refused" ? given.error : given;
      };
      const step = authentication.isAtProof ? await this.inTurn(answer) : answer();
      if (step instanceof BorealisError) throw step;
      if (step.bytes.length > 0) this.connection.write(step.bytes);
      if (step.kind === "accepted") return undefined;
    }
  }

  /** What the client sends is passed on to be judged, and goes nowhere else. */
  private async authenticateByToken(
    wishes: StartWishes,
    { judge, tellsWhy }: TokenLogins,
  ): Promise<TokenProof> {
    const { user } = wishes;
    if (!this.isSecure) {
      const host = this.connection.remoteAddress ?? "[local]";
      throw plainRefusal(wishes, { host, hasTls: this.deps.tls !== undefined });
    }
    this.connection.write(encodeCleartextRequest());
    const token = parsePassword(await this.reader.message(frontend.password));
    return this.inTurn(() => {
      const verdict = judge({ token, user });
      if (verdict.kind === "accepted") return verdict;
      this.why = verdict.why;
      return tokenRefusal(user, tellsWhy ? verdict.why : undefined);
    });
  }

  /**
   * What has arrived is judged when it is its turn, and that at once: nobody has a turn while something is waited for. Raises
   * the error of what was wrong: after a while, where many have been. Whoever does not wait for it is wrong all the same.
   */
  private async inTurn<T>(judge: () => T | BorealisError): Promise<T> {
    const turn = this.deps.turns.ask(this.connection.remoteAddress ?? "[local]");
    try {
      await this.reader.unlessOver(turn.mayGo);
      const verdict = judge();
      if (verdict instanceof BorealisError) {
        await this.keepWaiting(turn.end("wrong"));
        throw verdict;
      }
      turn.end("right");
      return verdict;
    } finally {
      turn.end("left");
    }
  }

  private async keepWaiting(delayMs: number): Promise<void> {
    if (delayMs === 0) return;
    this.reader.dropAll();
    const over = new AbortController();
    const delay = sleep(this.deps.clock, delayMs, over.signal);
    await this.reader.unlessOver(delay).catch(() => undefined); // gone, or timed out: told at once
    over.abort();
  }
}
