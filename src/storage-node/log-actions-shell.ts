import { unreachable } from "../base/assert.ts";
import { type Clock, systemCodeOf } from "../io/index.ts";
import type { AcceptorAction, AcceptorEvent } from "../acceptor/index.ts";
import type { Links } from "./links-shell.ts";
import { answerKept, answerRead } from "./log-answer-shell.ts";
import { isShortage } from "./log-files-shell.ts";
import type { Peers } from "./peers-shell.ts";
import type { NodeStorage } from "./storage-shell.ts";

/** What the acceptor asks of the disk beside cuts and states: log written, read, fetched from peers, kept for pins. */
export type LogAction = Extract<
  AcceptorAction,
  {
    kind:
      | "writeLog"
      | "readLog"
      | "readKept"
      | "pull"
      | "pullPin"
      | "linkPin"
      | "writePin"
      | "dropPin";
  }
>;

export interface LogActionsDeps {
  readonly storage: NodeStorage;
  readonly links: Links;
  readonly peers: Peers;
  /** False: log of peers is refused. */
  readonly admitFill: () => Promise<boolean>;
  readonly clock: Clock;
  /** Carries on when the task ends. */
  readonly run: (task: () => Promise<AcceptorEvent | undefined>) => void;
  readonly post: (event: AcceptorEvent) => void;
  readonly noteHealth: () => Promise<undefined>;
  readonly noteProgress: () => void;
  readonly onReadFailed: (error: unknown) => void;
}

/** The acceptor's log actions over a node's storage and its links. */
export class LogActions {
  private readonly deps: LogActionsDeps;

  constructor(deps: LogActionsDeps) {
    this.deps = deps;
  }

  perform(action: LogAction): void {
    const { storage, peers, clock, admitFill, noteProgress, run } = this.deps;
    switch (action.kind) {
      case "writeLog":
        return this.write(action);
      case "readLog":
      case "readKept":
        return this.read(action);
      case "pull":
        return run(async () => {
          const { peer, from, maxBytes, accepted } = action;
          if (!(await admitFill())) return { kind: "pullFailed", nowMs: clock.nowMs() };
          const heard = await peers.pull(peer, { kind: "pull", from, maxBytes, accepted });
          noteProgress();
          return heard;
        });
      case "pullPin":
        return run(async () => {
          const { peer, pinId, from } = action;
          if (!(await admitFill())) return { kind: "pinPullFailed", pinId, nowMs: clock.nowMs() };
          const heard = await peers.pullPin(peer, { kind: "pinPull", pinId, from });
          noteProgress();
          return heard;
        });
      case "linkPin":
        return this.linkPin(action);
      case "writePin":
        return this.writePin(action);
      case "dropPin":
        return storage.keep(() => storage.kept.dropPin(action.pinId));
      default:
        return unreachable(action);
    }
  }

  private write(action: AcceptorAction & { kind: "writeLog" }): void {
    const { storage, clock, noteHealth, post, run } = this.deps;
    run(async () => {
      const { epoch, timeline, lsn } = action;
      // Copied now: the bytes are a view of what a socket brought.
      const frame = { epoch, timeline, payload: Buffer.from(action.bytes) };
      const scl = await storage.write(frame, lsn);
      if (scl === undefined) return undefined;
      const before = storage.log.shared.health;
      // Said before anything else is waited for: several writes end in the order in which they began.
      post({ kind: "synced", scl, nowMs: clock.nowMs() });
      await noteHealth();
      if (before === storage.log.shared.health) return undefined;
      return { kind: "tick", nowMs: clock.nowMs() };
    });
  }

  private read(read: AcceptorAction & { kind: "readLog" | "readKept" }): void {
    const { storage, links, onReadFailed, run } = this.deps;
    const say = links.send.bind(links, read.reply);
    run(async () => {
      const failure =
        read.kind === "readLog"
          ? await answerRead(storage.log, read, say)
          : await answerKept(storage, read, say);
      if (failure !== undefined) onReadFailed(failure);
      return undefined;
    });
  }

  private linkPin(action: AcceptorAction & { kind: "linkPin" }): void {
    const { pin, from, logTo } = action;
    const { log, kept } = this.deps.storage;
    // Looked up now, while the log is as the acceptor knows it: what these files hold there stays, whatever is cut.
    const sources = logTo > from ? log.sourcesOf(from, logTo) : [];
    this.change(pin, async () => {
      if (sources.length > 0) await kept.linkPin(pin, { from, to: logTo }, sources);
      const at = kept.keptTo(pin);
      if (at < pin.to) await kept.linkRetired(pin, at);
    });
  }

  private writePin(action: AcceptorAction & { kind: "writePin" }): void {
    const { pin, lsn } = action;
    const { kept } = this.deps.storage;
    const runs = action.runs.map((run) => ({ ...run, bytes: Buffer.from(run.bytes) }));
    this.change(pin, async () => void (await kept.writePin(pin, lsn, runs)));
  }

  /** Changes what is kept for a pin, and tells how far it goes now. */
  private change(pin: (AcceptorAction & { kind: "linkPin" })["pin"], task: () => Promise<void>) {
    const { storage, clock, run } = this.deps;
    run(async () => {
      try {
        await storage.log.inOrder(task);
      } catch (error) {
        // No space, or a file that went meanwhile: the acceptor comes back to it.
        const isPassing = isShortage(error) || systemCodeOf(error) === "ENOENT";
        if (!isPassing) storage.fail(error);
      }
      const to = storage.kept.keptTo(pin);
      return { kind: "pinKept", pinId: pin.pinId, to, nowMs: clock.nowMs() };
    });
  }
}
