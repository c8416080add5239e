import { unreachable } from "../base/assert.ts";
import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import type { Epoch } from "../base/ids.ts";
import type { Lsn } from "../base/lsn.ts";
import type { Listener, Timer } from "../io/index.ts";
import { Acceptor, type AcceptorAction, type AcceptorEvent } from "../acceptor/index.ts";
import { type ReceivedMessage } from "../quorum/index.ts";
import { AppendGrant } from "./append-grant.ts";
import { AppendLinks, type WorkerReport } from "./append-links-shell.ts";
import { Faults } from "./faults-shell.ts";
import { Feeds } from "./feeds-shell.ts";
import { Links } from "./links-shell.ts";
import { listenForLinks } from "./listen-shell.ts";
import { LogActions } from "./log-actions-shell.ts";
import type { Peer, StorageNodeConfig } from "./node-config.ts";
import type { StorageNodeDeps } from "./node-deps.ts";
import { ObjectLinks } from "./object-links-shell.ts";
import { noLink, Peers } from "./peers-shell.ts";
import { Scrubs } from "./scrubs-shell.ts";
import { acceptorBytesMax } from "./state-slots.ts";
import { NodeStorage } from "./storage-shell.ts";

const tickMs = 500;
/** The disk is looked at once a second. */
const storageTicks = 2;
/** A running storage node: the acceptor decides, this carries out. */
export class StorageNode {
  private readonly config: StorageNodeConfig;
  private readonly deps: StorageNodeDeps;
  private readonly storage: NodeStorage;
  private readonly acceptor: Acceptor;
  private readonly links: Links;
  private readonly appendLinks: AppendLinks;
  private readonly feeds: Feeds;
  private readonly peers: Peers;
  private readonly logActions: LogActions;
  private readonly scrubs: Scrubs;
  private readonly objectLinks: ObjectLinks;
  /** Those that somebody has asked for. */
  readonly faults: Faults;
  private readonly ended = new AbortController();
  private readonly events: AcceptorEvent[] = [];
  private isStepping = false;
  private readonly grant: AppendGrant;
  private subscriberCount = 0;
  /** The epoch whose appends came through the event loop: its later links are served there, too. */
  private loopEpoch: Epoch | undefined;
  private tickCount = 0;
  private listener: Listener | undefined;
  private timer: Timer | undefined;

  constructor(config: StorageNodeConfig, deps: StorageNodeDeps, storage: NodeStorage) {
    this.config = config;
    this.deps = deps;
    this.storage = storage;
    // A thread cannot read what TLS carries (decisions.md D7).
    const hasWorkers = config.appendPath !== "loop" && config.address.kind === "unix";
    this.acceptor = new Acceptor({
      state: storage.acceptorState,
      scl: storage.log.scl,
      nowMs: deps.clock.nowMs(),
      lendsAppends: hasWorkers,
      stateBytesMax: acceptorBytesMax,
      keepsRetired: true,
      pinsKept: storage.pinsKept,
    });
    this.grant = new AppendGrant(storage.log.shared);
    this.faults = new Faults({ ...config, ...deps });
    const onFailed = (error: unknown): void => this.fail(error);
    this.objectLinks = new ObjectLinks({
      ...config,
      ...deps,
      segmentBytes: storage.log.files.segmentBytes,
      storage,
      admit: () => this.faults.meetObjects(),
      onFailed,
    });
    this.links = this.makeLinks();
    this.appendLinks = this.makeAppendLinks(hasWorkers);
    this.feeds = this.makeFeeds();
    this.peers = new Peers({
      peers: config.peers,
      volumeId: config.volumeId,
      sender: config.name,
      credential: config.credential,
      clock: deps.clock,
      signal: this.ended.signal,
      onMessage: (received) => this.receive(noLink, received),
    });
    this.scrubs = this.makeScrubs();
    this.logActions = new LogActions({
      storage,
      links: this.links,
      peers: this.peers,
      admitFill: () => this.faults.meetFill(),
      clock: deps.clock,
      run: (task) => this.run(task),
      post: (event) => this.post(event),
      noteHealth: () => this.noteHealth(),
      noteProgress: () => this.noteProgress(),
      onReadFailed: (error) => this.onReadFailed(error),
    });
  }

  private makeScrubs(): Scrubs {
    const { config, deps, storage, peers, links } = this;
    return new Scrubs({
      config,
      storage,
      peers,
      clock: deps.clock,
      logger: deps.logger,
      signal: this.ended.signal,
      say: (reply, message) => links.send(reply, message),
      run: (task) => this.run(task),
      history: () => this.acceptor.state.history,
      onReadFailed: (error) => this.onReadFailed(error),
    });
  }

  private makeLinks(): Links {
    return new Links({
      ...this.config,
      ...this.deps,
      lend: (link, connection, early) =>
        this.loopEpoch !== this.acceptor.state.accepted &&
        this.appendLinks.lend(link, connection, early),
      faults: this.faults,
      promised: () => this.acceptor.state.promised,
      takeObjectLink: (accepted) => this.objectLinks.accept(accepted),
      onMessage: (link, received) => this.receive(link, received),
      onDrain: (link) => this.feeds.pumpLink(link),
      onClosed: (link) => this.onLinkClosed(link),
    });
  }

  private makeAppendLinks(hasWorkers: boolean): AppendLinks {
    return new AppendLinks({
      ...this.config,
      hasWorkers,
      log: this.storage.log,
      faults: this.faults.shared,
      markFd: this.storage.markFd,
      logger: this.deps.logger,
      onReport: (report) => this.onWorkerReport(report),
      onEnded: (link) => this.links.close(link),
      onReturned: (link, unread) => this.links.serve(link, unread),
      onFailed: (error) => this.fail(error),
    });
  }

  private makeFeeds(): Feeds {
    const { clock, logger } = this.deps;
    return new Feeds({
      store: this.storage.log,
      view: () => ({
        limit: this.acceptor.feedLimit,
        vdl: this.acceptor.vdl,
        vdlEpoch: this.acceptor.vdlEpoch,
        history: this.acceptor.state.history,
      }),
      logger,
      nowMs: () => clock.nowMs(),
      onReadFailed: (error) => this.onReadFailed(error),
    });
  }

  /** Says what was found on the disk, then listens. */
  async start(): Promise<void> {
    const { storage, config } = this;
    storage.onFull((scl) => this.onLogFull(scl));
    storage.onRegained((scl) => this.post({ kind: "synced", scl, nowMs: this.deps.clock.nowMs() }));
    const nowMs = this.deps.clock.nowMs();
    const { health } = storage;
    const { scl, base, suspectTail } = storage.log;
    this.post({ kind: "healthChanged", health, suspectTail });
    this.storage.publish();
    this.post({ kind: "started", nowMs });
    await this.objectLinks.start();
    this.listener = await listenForLinks(config, this.deps.logger, (connection) => {
      this.links.accept(connection).catch((error: unknown) => this.fail(error));
    });
    const { promised, accepted } = this.acceptor.state;
    this.deps.logger.info({ event: "node.started", scl, base, promised, accepted, health });
    this.scheduleTick();
    this.run(() => this.scrubs.forEver());
  }

  /** What a test or a status page may see. */
  get acceptorView(): Acceptor {
    return this.acceptor;
  }

  /** Members come and go: the others, and where they listen. */
  setPeers(peers: readonly Peer[]): void {
    this.peers.setPeers(peers);
  }

  /** Stops serving; what was acknowledged is synced already. */
  async close(): Promise<void> {
    if (this.ended.signal.aborted) return;
    this.ended.abort(new Error("node is closing"));
    this.timer?.cancel();
    await this.listener?.close();
    this.peers.close();
    this.links.closeAll();
    this.objectLinks.closeAll();
    this.grant.takeBack();
    await this.storage.close();
    this.deps.logger.info({ event: "node.stopped", scl: this.storage.log.scl });
  }

  /** Lets go of sockets and files as the end of the process would, also after a failure: for who runs nodes in one. */
  async abandon(): Promise<void> {
    this.ended.abort(new Error("node is abandoned"));
    this.timer?.cancel();
    this.peers.close();
    this.links.closeAll();
    this.objectLinks.closeAll();
    await this.listener?.close();
    await this.storage.close().catch(() => undefined);
  }

  /** The end: nothing is written, acknowledged or answered after it. */
  fail(error: unknown): void {
    if (this.ended.signal.aborted) return;
    this.ended.abort(error);
    this.storage.log.shared.health = "failed";
    this.deps.logger.fatal({ event: "node.failed", reason: messageOf(error), err: error });
    this.deps.onFatal(error);
  }

  // Events in, actions out.

  private post(event: AcceptorEvent): void {
    this.events.push(event);
    if (this.isStepping) return;
    this.isStepping = true;
    try {
      for (let next = this.events.shift(); next; next = this.events.shift()) {
        if (this.ended.signal.aborted) return;
        for (const action of this.acceptor.step(next)) this.perform(action);
      }
      this.feeds.pumpAll();
      this.noteSubscribers();
    } catch (error) {
      this.fail(error);
    } finally {
      this.isStepping = false;
    }
  }

  private receive(link: number, received: ReceivedMessage): void {
    if (this.scrubs.takes(link, received)) return;
    this.noteProgress();
    if (received.message.kind === "append") this.loopEpoch = received.message.epoch;
    this.post({ kind: "received", link, ...received, nowMs: this.deps.clock.nowMs() });
  }

  /** Carries on when a task ends; a failure of a task is the node's. */
  private run(task: () => Promise<AcceptorEvent | undefined>): void {
    task().then(
      (event) => {
        if (event) this.post(event);
      },
      (error: unknown) => this.fail(error),
    );
  }

  private perform(action: AcceptorAction): void {
    const { storage } = this;
    const { clock } = this.deps;
    switch (action.kind) {
      case "persist":
        return this.run(async () => {
          await storage.persist(action.state);
          this.storage.publish();
          return { kind: "persisted", nowMs: clock.nowMs() };
        });
      case "send":
        return this.links.send(action.reply, action.message);
      case "grant":
        return this.grant.lend(action);
      case "revokeGrant":
        return this.revokeGrant();
      case "cutLog":
        return this.run(async () => {
          await storage.cut(action.cut, action.history);
          this.deps.logger.info({ event: "log.cut", to: action.cut.to, scl: storage.log.scl });
          return { kind: "logCut", scl: storage.log.scl, nowMs: clock.nowMs() };
        });
      case "dropLogBelow":
        return storage.trim(action.lsn);
      case "startFeed":
        this.feeds.start(this.links.feedLink(action.reply.link), action);
        return this.noteSubscribers();
      case "historyChanged":
        return this.feeds.changeHistory(action.history, this.acceptor.state.base);
      case "vdlAdvanced":
        return undefined;
      default:
        return this.logActions.perform(action);
    }
  }

  // The append path of workers.

  private revokeGrant(): void {
    const progress = this.grant.takeBack();
    if (progress) this.post({ kind: "grantRevoked", ...progress, nowMs: this.deps.clock.nowMs() });
  }

  private noteProgress(): void {
    const progress = this.grant.look();
    if (progress) this.post({ kind: "progress", ...progress, nowMs: this.deps.clock.nowMs() });
  }

  private onWorkerReport(report: WorkerReport): void {
    const { log } = this.storage;
    switch (report.kind) {
      case "progress":
        log.shared.wakeTaken();
        this.noteProgress();
        // Seen before, maybe, while what it moved by was still on its way: then nothing but this tells those who wait for it.
        return this.feeds.pumpAll();
      case "files":
        log.follow();
        return this.run(async () => {
          await log.prepareSpare();
          return this.noteHealth();
        });
      case "failed":
        return this.storage.fail(new BorealisError(sqlState.ioError, report.message));
      default:
        return unreachable(report);
    }
  }

  // The log.

  private onLogFull(scl: Lsn): void {
    this.post({ kind: "logFull", scl, nowMs: this.deps.clock.nowMs() });
    this.run(() => this.noteHealth());
  }

  /** Rot is written down, and the node starts anew as a damaged one; log that has just gone is nothing to us. */
  private onReadFailed(error: unknown): void {
    this.deps.logger.warn({ event: "log.read_failed", err: error });
    this.run(async () => {
      const isOver = await this.storage.judgeRead(error, () => {
        this.storage.log.shared.health = "damaged";
        this.grant.takeBack();
      });
      if (isOver) throw error;
      return undefined;
    });
  }

  // Links, time, health.

  private onLinkClosed(link: number): void {
    this.feeds.end(link);
    this.post({ kind: "linkClosed", link });
  }

  private noteSubscribers(): void {
    const { count } = this.feeds;
    if (count === this.subscriberCount) return;
    this.subscriberCount = count;
    this.storage.log.shared.subscriberCount = count;
    this.post({ kind: "subscribersChanged", count });
  }

  private async noteHealth(): Promise<undefined> {
    const before = this.storage.log.shared.health;
    const health = await this.storage.refreshHealth();
    if (health === before) return undefined;
    this.deps.logger.warn({ event: "node.health_changed", health, before });
    this.storage.publish();
    this.post({ kind: "healthChanged", health, suspectTail: this.storage.log.suspectTail });
    return undefined;
  }

  private scheduleTick(): void {
    this.timer = this.deps.clock.after(tickMs, () => {
      this.run(async () => {
        this.noteProgress();
        this.feeds.tick();
        this.faults.tick();
        if (this.tickCount++ % storageTicks === 0) await this.storage.tick();
        await this.noteHealth();
        const { healed, log } = this.storage;
        this.post({ kind: "storageNoted", logBytes: log.logBytes, healed });
        if (!this.ended.signal.aborted) this.scheduleTick();
        return { kind: "tick", nowMs: this.deps.clock.nowMs() };
      });
    });
  }
}
