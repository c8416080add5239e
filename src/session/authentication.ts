import { BorealisError, ProtocolViolation, sqlState } from "../base/errors.ts";
import {
  encodeMd5Request,
  encodeSaslContinue,
  encodeSaslFinal,
  encodeSaslRequest,
  findMd5Verifier,
  findScramVerifier,
  isMd5Answer,
  mockVerifier,
  parsePassword,
  parseSaslInitialResponse,
  scramMechanisms,
  ScramServer,
} from "../wire/index.ts";

/** What pg_authid says of a role; undefined where there is none. */
export interface RoleRecord {
  readonly password: string | null;
  readonly isExpired: boolean;
}

export interface AuthenticationOptions {
  readonly user: string;
  readonly role: RoleRecord | undefined;
  /** The same for the life of the endpoint, so that an unknown role always shows the same salt. */
  readonly mockSecret: Buffer;
  /** Undefined without TLS. */
  readonly certificateHash: Buffer | undefined;
  /** 24 fresh random bytes. */
  readonly random: Buffer;
}

/** `accepted` may carry a last message for the client; AuthenticationOk is not part of it. */
export type AuthenticationStep =
  | { readonly kind: "ask"; readonly bytes: Buffer }
  | { readonly kind: "accepted"; readonly bytes: Buffer }
  | { readonly kind: "refused"; readonly error: BorealisError };

/** The server's side of a login, pure: `start`, then one `answer` for each message of the client. */
export class Authentication {
  private readonly options: AuthenticationOptions;
  private readonly md5Verifier: string | undefined;
  private readonly md5Salt: Buffer;
  private readonly scram: ScramServer;
  private isFirst = true;

  constructor(options: AuthenticationOptions) {
    this.options = options;
    const { user, role, mockSecret, certificateHash, random } = options;
    // Missing, expired, or without a password: asked all the same, so that nobody learns which it is.
    const password = role && !role.isExpired ? (role.password ?? "") : "";
    const verifier = findScramVerifier(password);
    this.md5Verifier = findMd5Verifier(password);
    this.md5Salt = random.subarray(0, 4);
    this.scram = new ScramServer({
      verifier: verifier ?? mockVerifier(user, mockSecret),
      isDoomed: verifier === undefined,
      certificateHash,
      serverNonce: random.subarray(4).toString("base64"),
    });
  }

  /** Whether what the client sends next is a proof that may be wrong. */
  get isAtProof(): boolean {
    return this.md5Verifier !== undefined || !this.isFirst;
  }

  start(): Buffer {
    if (this.md5Verifier !== undefined) return encodeMd5Request(this.md5Salt);
    return encodeSaslRequest(scramMechanisms(this.options.certificateHash));
  }

  /** `body` of a password message. */
  answer(body: Buffer): AuthenticationStep {
    try {
      return this.md5Verifier === undefined
        ? this.answerScram(body)
        : this.answerMd5(this.md5Verifier, body);
    } catch (error) {
      if (error instanceof BorealisError) return { kind: "refused", error };
      throw error;
    }
  }

  private answerMd5(verifier: string, body: Buffer): AuthenticationStep {
    const isRight = isMd5Answer(verifier, this.md5Salt, parsePassword(body));
    return isRight ? { kind: "accepted", bytes: Buffer.alloc(0) } : this.refused();
  }

  private answerScram(body: Buffer): AuthenticationStep {
    if (this.isFirst) {
      this.isFirst = false;
      const { mechanism, response } = parseSaslInitialResponse(body);
      return { kind: "ask", bytes: encodeSaslContinue(this.scram.first(mechanism, response)) };
    }
    // PostgreSQL ends SCRAM messages by length, so a zero byte would hide what follows it.
    if (body.includes(0)) throw new ProtocolViolation("malformed SCRAM message");
    const final = this.scram.final(body.toString("utf8"));
    return final === undefined
      ? this.refused()
      : { kind: "accepted", bytes: encodeSaslFinal(final) };
  }

  private refused(): AuthenticationStep {
    const message = `password authentication failed for user "${this.options.user}"`;
    return { kind: "refused", error: new BorealisError(sqlState.invalidPassword, message) };
  }
}
