import { BorealisError, ProtocolViolation, sqlState } from "../base/errors.ts";
import {
  backend,
  type BindRequest,
  decodeBind,
  decodeExecute,
  decodeParse,
  encodeAuthenticationOk,
  encodeBackendKey,
  encodeCommandComplete,
  encodeError,
  encodeMessage,
  encodeNotice,
  encodeParameterDescription,
  encodeParameterStatus,
  encodeReadyForQuery,
  findTarget,
  frontend,
  queryTextOf,
  transactionState,
} from "../wire/index.ts";
import { prepareStatement, rowsOf, type Work } from "./ask.ts";
import type { SessionFacts } from "./functions.ts";
import { parametersMax } from "./limits.ts";
import { Named, portalWords, statementWords } from "./named.ts";
import { type Portal, portionsOf, requireResultsFit, type Result, sizeOf } from "./portals.ts";
import { commandOf, type Prepared } from "./prepared.ts";
import {
  declaredType,
  describeRows,
  type EncodedRows,
  formatOf,
  parameterOf,
  requireFormats,
} from "./formats.ts";
import type { Settings } from "./settings.ts";
import { typeFacts } from "./sql-types.ts";
import { splitStatements } from "./statement-text.ts";

interface PreparedByName {
  readonly prepared: Prepared;
  /** As the client declared them; 0: it did not. */
  readonly typeOids: readonly number[];
}

export interface ConversationOptions {
  readonly session: SessionFacts;
  readonly settings: Settings;
  readonly key: Buffer;
}

/**
 * One client of the admin database after its login: whole messages in, bytes out (`takeOutput`). It waits for nothing: what
 * it needs of others it asks for (see Ask), and until it is answered it must be given no other message.
 */
export class AdminConversation {
  private readonly options: ConversationOptions;
  private readonly statements = new Named<PreparedByName>(statementWords);
  private readonly portals = new Named<Portal>(portalWords);
  private output: Buffer[] = [];
  private state: number = transactionState.idle;
  /** An error in the extended protocol: nothing is done until Sync. */
  private isSkipping = false;
  /** Of which the client is being given rows. */
  private giving: Result | undefined;
  /** The client has said goodbye. */
  isOver = false;

  constructor(options: ConversationOptions) {
    this.options = options;
  }

  /** Nothing is under way, and no transaction is open. */
  get isIdle(): boolean {
    return this.state === transactionState.idle;
  }

  /** Of results that the client has not read to their end. */
  get keptBytes(): number {
    const results = new Set([this.giving, ...this.portals.all.map(({ result }) => result)]);
    let bytes = 0;
    for (const result of results) if (result) bytes += sizeOf(result);
    return bytes;
  }

  takeOutput(): Buffer[] {
    const { output } = this;
    this.output = [];
    return output;
  }

  /** How a command to the cluster is getting on. */
  tell(text: string): void {
    const least = this.options.settings.get("client_min_messages")?.toLowerCase() ?? "notice";
    if (/^(warning|error|fatal|panic)$/.test(least)) return;
    this.say(encodeNotice(new BorealisError("00000", text), "NOTICE"));
  }

  /** What a client is told when its login is accepted. */
  greet(): void {
    const { settings, session, key } = this.options;
    this.say(encodeAuthenticationOk());
    for (const { name, value } of settings.reported) this.say(encodeParameterStatus(name, value));
    this.say(encodeBackendKey({ pid: session.pid, key }));
    this.ready();
  }

  /** One message. Raises ProtocolViolation for one that cannot be read: the connection is then over. */
  *receive(type: number, body: Buffer): Work<void> {
    if (type === frontend.terminate) this.isOver = true;
    else if (type === frontend.sync) this.sync();
    else if (this.isSkipping) return;
    else if (type === frontend.query) yield* this.query(body);
    else if (type === frontend.functionCall) this.refuse(type, noFunctionCalls);
    else yield* this.guarded(this.extended(type, body));
  }

  /** A message that is longer than we take: its body was not read. */
  refuse(type: number, error: BorealisError): void {
    if (this.isSkipping) return;
    this.fail(error);
    if (type === frontend.query || type === frontend.functionCall) this.ready();
    else this.isSkipping = true;
  }

  private *extended(type: number, body: Buffer): Work<void> {
    switch (type) {
      case frontend.parse:
        return yield* this.parse(body);
      case frontend.bind:
        return this.bind(decodeBind(body));
      case frontend.describe:
        return this.describe(body);
      case frontend.execute:
        return yield* this.execute(decodeExecute(body));
      case frontend.close:
        return this.close(body);
      // Copy messages belong to no copy, and are passed over; Flush has nothing to wait for.
    }
  }

  /** Errors of ours are told, and all is skipped until Sync. */
  private *guarded(work: Work<void>): Work<void> {
    try {
      yield* work;
    } catch (error) {
      this.isSkipping = true;
      this.fail(error);
    }
  }

  private fail(error: unknown): void {
    if (!(error instanceof BorealisError) || error instanceof ProtocolViolation) throw error;
    if (this.state === transactionState.open) this.state = transactionState.failed;
    this.say(encodeError(error, "ERROR"));
  }

  private sync(): void {
    this.isSkipping = false;
    this.ready();
  }

  private ready(): void {
    if (this.state === transactionState.idle) this.portals.clear();
    this.say(encodeReadyForQuery(this.state));
  }

  private *query(body: Buffer): Work<void> {
    const text = queryTextOf(body);
    this.portals.remove("");
    try {
      yield* this.simple(text);
    } catch (error) {
      this.fail(error);
    }
    this.ready();
  }

  private *simple(text: string): Work<void> {
    const statements = splitStatements(text);
    if (statements.length === 0) this.say(encodeMessage(backend.emptyQuery));
    for (const statement of statements) {
      const prepared = yield* prepareStatement(text, statement, { ...this.options, types: [] });
      if (prepared.parameters.length > 0)
        throw new BorealisError(sqlState.undefinedParameter, "there is no parameter $1");
      const { columns } = prepared;
      const isBinary = columns?.map(() => false) ?? [];
      this.requireUsable(prepared, statements.length === 1);
      const portal: Portal = { prepared, parameters: [], isBinary, result: undefined };
      if (columns) this.say(describeRows(columns, isBinary));
      yield* this.run(portal, 0);
      // One text may have thousands.
      yield { kind: "turn" };
    }
  }

  private *parse(body: Buffer): Work<void> {
    const { name, sql, typeOids } = decodeParse(body);
    // As PostgreSQL does: also if this one is none.
    if (name === "") this.statements.remove("");
    this.statements.requireRoom(name);
    if (typeOids.length > parametersMax)
      throw new BorealisError(
        sqlState.limitExceeded,
        `a statement of the admin database has ${parametersMax} parameters at most`,
      );
    const [statement, second] = splitStatements(sql);
    if (second)
      throw new BorealisError(
        sqlState.syntaxError,
        "cannot insert multiple commands into a prepared statement",
      );
    const types = typeOids.map(declaredType);
    const prepared = statement
      ? yield* prepareStatement(sql, statement, { ...this.options, types })
      : commandOf("");
    const weight = sql.length + 100 * (prepared.columns?.length ?? 0);
    this.statements.put(name, { prepared, typeOids }, weight);
    this.say(encodeMessage(backend.parseComplete));
  }

  private bind(request: BindRequest): void {
    const { prepared, typeOids } = this.statements.require(request.statement);
    const { portal, values, formats, resultFormats } = request;
    this.portals.requireRoom(portal);
    if (values.length !== prepared.parameters.length)
      throw new BorealisError(
        sqlState.protocolViolation,
        `bind message supplies ${values.length} parameters, but the prepared statement requires ${prepared.parameters.length}`,
      );
    requireFormats(formats, values.length, "parameters");
    if (prepared.columns) requireFormats(resultFormats, prepared.columns.length, "result columns");
    const parameters = values.map((value, index) =>
      parameterOf(value, {
        type: prepared.parameters[index] ?? "text",
        typeOid: typeOids[index] ?? 0,
        isBinary: formatOf(formats, index),
      }),
    );
    const isBinary = (prepared.columns ?? []).map((_, index) => formatOf(resultFormats, index));
    const weight = values.reduce((sum, value) => sum + (value?.length ?? 0), isBinary.length);
    this.portals.put(portal, { prepared, parameters, isBinary, result: undefined }, weight);
    this.say(encodeMessage(backend.bindComplete));
  }

  private describe(body: Buffer): void {
    const { target, name } = requireTarget(body);
    if (target === "portal") {
      const { prepared, isBinary } = this.portals.require(name);
      const { columns } = prepared;
      this.say(columns ? describeRows(columns, isBinary) : encodeMessage(backend.noData));
      return;
    }
    const { prepared, typeOids } = this.statements.require(name);
    const { columns, parameters } = prepared;
    const oids = parameters.map((type, index) => typeOids[index] || typeFacts(type).oid);
    this.say(encodeParameterDescription(oids));
    const isBinary = columns?.map(() => false) ?? [];
    this.say(columns ? describeRows(columns, isBinary) : encodeMessage(backend.noData));
  }

  private *execute({ portal, rowsMax }: { portal: string; rowsMax: number }): Work<void> {
    yield* this.run(this.portals.require(portal), rowsMax);
  }

  private close(body: Buffer): void {
    const { target, name } = requireTarget(body);
    if (target === "portal") this.portals.remove(name);
    else this.statements.remove(name);
    this.say(encodeMessage(backend.closeComplete));
  }

  /** Gives up to `rowsMax` rows (0: all), and CommandComplete behind the last one. */
  private *run(portal: Portal, rowsMax: number): Work<void> {
    const { prepared } = portal;
    const { columns, tag } = prepared;
    if (tag === "") return this.say(encodeMessage(backend.emptyQuery));
    this.requireUsable(prepared);
    if (!columns) return this.say(encodeCommandComplete(this.apply(prepared)));
    portal.result ??= { rows: yield* rowsOf(portal, columns, this.options), given: 0 };
    const { result } = portal;
    const before = result.given;
    try {
      // What has been done is told, however much else there is.
      if (prepared.rows.kind !== "order") requireResultsFit(this.portals.all);
    } catch (error) {
      portal.result = undefined;
      throw error;
    }
    this.giving = result;
    const all = result.rows.ends.length;
    const end = rowsMax === 0 ? all : Math.min(before + rowsMax, all);
    for (const portion of portionsOf(result, end)) {
      this.say(portion);
      if (result.given < end) yield { kind: "turn" };
    }
    this.giving = undefined;
    if (end < all) return this.say(encodeMessage(backend.portalSuspended));
    // Whoever asks again gets nothing, as from PostgreSQL; no need to keep it.
    portal.result = { rows: noRows, given: 0 };
    this.say(encodeCommandComplete(tag === "SELECT" ? `SELECT ${end - before}` : tag));
  }

  /**
   * Raises 25P02 in a transaction that has failed, but for what ends that; 25001 for a command to the cluster that is not alone:
   * nobody could roll it back.
   */
  private requireUsable({ effect, rows, tag }: Prepared, isAlone = true): void {
    const ends = ["commit", "rollback", "rewind"];
    if (this.state === transactionState.failed && !ends.includes(effect?.kind ?? ""))
      throw new BorealisError(
        sqlState.inFailedTransaction,
        "current transaction is aborted, commands ignored until end of transaction block",
      );
    if (rows.kind !== "order" || (isAlone && this.isIdle)) return;
    throw new BorealisError(
      sqlState.activeTransaction,
      `${tag} cannot run inside a transaction block, nor with other statements in one text`,
      { hint: "Send it by itself; a driver may have to be told to commit by itself (autocommit)." },
    );
  }

  /** What a statement without rows does; gives its tag. */
  private apply({ effect, tag }: Prepared): string {
    switch (effect?.kind) {
      case undefined:
        return tag;
      case "begin":
        if (this.state !== transactionState.idle)
          this.warn(new BorealisError("25001", "there is already a transaction in progress"));
        this.state = transactionState.open;
        return tag;
      case "commit":
      case "rollback": {
        const hasFailed = this.state === transactionState.failed;
        if (this.isIdle)
          this.warn(new BorealisError("25P01", "there is no transaction in progress"));
        this.state = transactionState.idle;
        return hasFailed ? "ROLLBACK" : tag;
      }
      case "rewind":
        if (!this.isIdle) this.state = transactionState.open;
        return tag;
      case "set": {
        const { report, warning } = this.options.settings.set(effect.name, effect.value);
        if (warning) this.warn(warning);
        if (report) this.say(encodeParameterStatus(report.name, report.value));
        return tag;
      }
      case "reset":
        this.reset(effect.name ?? undefined);
        return tag;
      case "discard":
        this.statements.clear();
        this.portals.clear();
        this.reset();
        return tag;
      case "deallocate":
        return this.deallocate(effect.name);
    }
  }

  private reset(name?: string): void {
    for (const row of this.options.settings.reset(name))
      this.say(encodeParameterStatus(row.name, row.value));
  }

  private deallocate(name: string | null): string {
    if (name === null) {
      this.statements.clear();
      return "DEALLOCATE ALL";
    }
    this.statements.require(name);
    this.statements.remove(name);
    return "DEALLOCATE";
  }

  private warn(warning: BorealisError): void {
    this.say(encodeNotice(warning, "WARNING"));
  }

  private say(bytes: Buffer): void {
    this.output.push(bytes);
  }
}

const noRows: EncodedRows = { bytes: new Uint8Array(), ends: [] };

const noFunctionCalls = new BorealisError(
  sqlState.notSupported,
  "function calls are not supported here",
);

function requireTarget(body: Buffer): NonNullable<ReturnType<typeof findTarget>> {
  const found = findTarget(body);
  if (found) return found;
  throw new ProtocolViolation("a Describe or Close message names neither a statement nor a portal");
}
