import { addressKey } from "../access/index.ts";
import type { Clock, Connection, Entropy, Logger } from "../io/index.ts";
import type { Classified } from "../route/index.ts";
import { auditedLink } from "./audited-link.ts";
import { type AuditedIdentity, auditedIdentity, type Auditor } from "./auditor.ts";
import type { ClientLink } from "./client-link.ts";
import type { Endpoint } from "./endpoint-options.ts";
import type { LoggedIn, Opening } from "./login-shell.ts";
import { RefusalLog } from "./refusal-log-shell.ts";
import type { Session } from "./session-shell.ts";
import { StatementTap } from "./statement-tap.ts";

export interface SessionAuditsOptions {
  readonly auditor?: Auditor | undefined;
  readonly clock: Clock;
  readonly entropy: Entropy;
  readonly logger: Logger;
  readonly classify: (sql: string, isPlain: boolean) => Classified;
}

/** Of an address, in ten seconds: who guesses fills no log. */
const refusedToldMax = 20;
/** What strangers have a part in is short. */
const reasonCharsMax = 200;

/** Writes down who logs in, who does not, and what sessions ask for. */
export class SessionAudits {
  private readonly options: SessionAuditsOptions;
  private readonly refusals: RefusalLog;

  constructor(options: SessionAuditsOptions) {
    this.options = options;
    const { clock, logger, auditor } = options;
    this.refusals = new RefusalLog(clock, { ofKindMax: refusedToldMax }, (facts) => {
      logger.info({ event: "login.refused", ...facts });
      auditor?.record("login.refused", facts);
    });
  }

  refused(
    { id: endpoint }: Endpoint,
    { remote, remoteAddress = "" }: Connection,
    { reason, why, user, database }: Extract<Opening, { kind: "refused" }>,
  ): void {
    const facts = { endpoint, remote, user, database, reason: cut(reason), why: why && cut(why) };
    this.refusals.note(addressKey(remoteAddress), facts);
  }

  close(): void {
    this.refusals.close();
  }

  /** Undefined: nothing is audited. */
  begin(
    { id: endpoint }: Endpoint,
    client: Connection,
    { proof, wishes: { user, database } }: LoggedIn,
  ): SessionAudit | undefined {
    const { auditor, entropy, logger } = this.options;
    const { remote } = client;
    // Whose access key it was: PostgreSQL knows only which user came in.
    if (proof) logger.info({ event: "login.byToken", endpoint, remote, user, ...proof });
    if (!auditor) return undefined;
    const auditId = entropy.bytes(6).toString("hex");
    const identity = auditedIdentity({ auditId, endpoint, remote, user, database, proof });
    auditor.record("login", identity);
    return new SessionAudit({ ...this.options, auditor, identity });
  }
}

function cut(text: string): string {
  return text.slice(0, reasonCharsMax);
}

/** One login, and what follows it. */
export class SessionAudit {
  readonly identity: AuditedIdentity;
  private readonly auditor: Auditor;
  private readonly logger: Logger;
  private readonly tap: StatementTap | undefined;
  private session: Session | undefined;
  private hasEnded = false;

  constructor({
    auditor,
    identity,
    classify,
    logger,
  }: SessionAuditsOptions & {
    readonly auditor: Auditor;
    readonly identity: AuditedIdentity;
  }) {
    this.auditor = auditor;
    this.identity = identity;
    this.logger = logger;
    if (auditor.statements === "none") return;
    this.tap = new StatementTap({
      isAll: auditor.statements === "all",
      classify,
      isPlain: (sql) => this.session?.conversation.exchange.isPlain(sql) ?? false,
      tell: (statement) => auditor.record("statement", { ...identity, ...statement }),
    });
  }

  /** In the client's place. */
  linkTo(client: ClientLink): ClientLink {
    const onBroken = (error: unknown): void =>
      this.logger.error({ event: "session.broken", err: error });
    return this.tap ? auditedLink(client, this.tap, onBroken) : client;
  }

  /** `early`: what its client sent ahead. */
  started(session: Session, early: Buffer): void {
    this.session = session;
    this.tap?.see(early);
  }

  /** It is over, or did not begin. */
  ended(): void {
    if (this.hasEnded) return;
    this.hasEnded = true;
    this.auditor.record("logout", this.identity);
  }
}
