import { frontend } from "../wire/index.ts";
import type { Timer } from "../io/index.ts";
import type { BackendReady } from "./backend-shell.ts";
import type { Action } from "./action.ts";
import { idleTooLong } from "./farewells.ts";
import { whyKept } from "./keeping.ts";
import type { Holder } from "./lease.ts";
import { frontOf } from "./loss.ts";
import type { ServerLine } from "./server-line-shell.ts";
import { unread } from "./reasons.ts";
import { idleTimeoutSetting } from "./start-options.ts";
import type { Survivor } from "./survivor.ts";
import type { SessionWorld } from "./world-shell.ts";

/** A session, as far as its place in a pool is concerned. */
export interface Tenant {
  readonly survivor: Survivor;
  readonly line: () => ServerLine;
  readonly world: Pick<SessionWorld, "clock" | "idleTimeoutMs">;
  /** Something of its server's or for it is on its way. */
  readonly isBusy: () => boolean;
  readonly hasEnded: () => boolean;
  readonly run: (actions: Action[]) => void;
  readonly follow: (actions: Action[]) => void;
  /** It has no server from here on. */
  readonly left: () => void;
}

const goodbyeBytes = 5;

/** What one session has of a pool: when its server can be another's, and how that gets it. */
export class Tenancy implements Holder {
  private readonly tenant: Tenant;
  /** Servers of its that cancel requests are on their way to, one for each. */
  private readonly cancels: ServerLine[] = [];
  /** One that a cancel request may come to at any time. */
  private pinnedServer: ServerLine | undefined;
  private pinnedBy: string | undefined;
  private idleTimer: Timer | undefined;
  private wasRunning = false;
  usedAtMs: number;

  constructor(tenant: Tenant) {
    this.tenant = tenant;
    this.usedAtMs = tenant.world.clock.nowMs();
  }

  /** Its client has sent this. True: that was its goodbye, and the server lives on for others. */
  tookGoodbye(chunk: Buffer): boolean {
    this.usedAtMs = this.tenant.world.clock.nowMs();
    this.close();
    const isGoodbye = chunk.length === goodbyeBytes && chunk[0] === frontend.terminate;
    return isGoodbye && this.giveBack();
  }

  /** The session has no server from here on; what ends an idle one is ours to do. */
  parked(): void {
    const { survivor, world } = this.tenant;
    survivor.park();
    const own = survivor.conversation.exchange.memory.settingValue(idleTimeoutSetting);
    const timeoutMs = own === undefined ? world.idleTimeoutMs : Number(own);
    if (!(timeoutMs > 0)) return;
    const leftMs = Math.max(0, this.usedAtMs + timeoutMs - world.clock.nowMs());
    this.idleTimer = world.clock.after(leftMs, () => {
      if (survivor.isParked) this.tenant.run(survivor.terminate(idleTooLong));
    });
  }

  close(): void {
    this.idleTimer?.cancel();
    this.idleTimer = undefined;
  }

  /** Why it cannot be without its server; undefined: it can, or has none. */
  whyKept(): string | undefined {
    const { survivor } = this.tenant;
    const line = this.tenant.line();
    if (survivor.isParked) return undefined;
    if (this.tenant.hasEnded()) return "it ends";
    if (!survivor.isLive) return "it is between two servers";
    if (this.pinnedBy !== undefined) return this.pinnedBy;
    if (this.cancels.includes(line)) return "a cancel request is on its way";
    if (this.pinnedServer === line) return "a cancel request may still be on its way";
    if (line.isRetired || line.closed) return "its server ends";
    if (line.isHolding || this.tenant.isBusy()) return "a statement is under way";
    return whyKept(survivor.conversation);
  }

  /** From now on the session keeps its server, for this reason. */
  pin(why: string): void {
    this.pinnedBy ??= why;
  }

  /** ... and this one alone: it is free again on the next. */
  pinServer(line: ServerLine): void {
    this.pinnedServer = line;
  }

  get customNames(): ReadonlySet<string> {
    const own = this.tenant.survivor.conversation.exchange.memory.existingNames;
    const found = this.tenant.line().backend.carried?.customNames;
    return found && found.size > 0 ? new Set([...found, ...own]) : own;
  }

  yieldServer(): BackendReady {
    const { memory, parameters } = this.tenant.survivor.conversation.exchange;
    const carried = { ...memory.carried(), customNames: this.customNames };
    const line = this.tenant.line();
    line.release();
    this.parked();
    this.tenant.left();
    return { ...line.backend, parameters: new Map(parameters), carried };
  }

  /** Others wait: they get the server if nothing keeps it, or else what keeps it is looked at now. */
  hurry(): void {
    const why = this.whyKept();
    if (why === undefined) this.tenant.line().backend.lease?.offer();
    else if (why === unread && this.mayAsk) this.tenant.follow(this.tenant.survivor.readBack());
  }

  /** It was not asked too often in vain. */
  private get mayAsk(): boolean {
    return this.tenant.survivor.conversation.exchange.memory.needsReadback !== "no";
  }

  /** After anything that may have ended what keeps the server. */
  settled(): void {
    const { lease } = this.tenant.line().backend;
    if (!lease) return;
    this.noteUse();
    // Made anew on the next it is right.
    if (this.tenant.survivor.conversation.exchange.memory.prepared.isStale) this.giveBack();
    else if (lease.isWanted) this.hurry();
  }

  /** What runs is use, up to its end; but for what we ask for ourselves. */
  private noteUse(): void {
    const { survivor, world } = this.tenant;
    const isRunning = survivor.isLive && frontOf(survivor.conversation.exchange) !== undefined;
    if (this.wasRunning && !isRunning) this.usedAtMs = world.clock.nowMs();
    this.wasRunning = isRunning;
  }

  /** A cancel request goes to the server: until the returned function is called it stays with the session. */
  cancelling(): () => void {
    const line = this.tenant.line();
    this.cancels.push(line);
    return () => {
      this.cancels.splice(this.cancels.indexOf(line), 1);
      this.settled();
    };
  }

  /** True: the server is somebody else's now. */
  giveBack(): boolean {
    const line = this.tenant.line();
    const { lease } = line.backend;
    if (!lease || line.wasReleased || this.whyKept() !== undefined) return false;
    lease.giveBack(this.yieldServer());
    return true;
  }

  /** True: the server is gone, or is to go, and the session is well without it. */
  leaveIfUnused(): boolean {
    const { survivor } = this.tenant;
    const line = this.tenant.line();
    const isUnused =
      line.backend.lease !== undefined &&
      survivor.isLive &&
      this.pinnedBy === undefined &&
      whyKept(survivor.conversation, { isServerGone: true }) === undefined;
    if (!isUnused) return false;
    line.leave();
    line.wasReleased = true;
    this.parked();
    this.tenant.left();
    return true;
  }
}

/** Nothing was done on it since it was given, and nobody needs it any more. */
export function returnServer(backend: BackendReady): void {
  if (backend.lease) backend.lease.giveBack(backend);
  else backend.connection.destroy();
}
