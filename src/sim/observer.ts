import type { PendingCut } from "../acceptor/index.ts";
import { type Epoch, epochNone, type NodeId } from "../base/ids.ts";
import { formatLsn, type Lsn, lsnMaxOf, lsnMin } from "../base/lsn.ts";
import type { Driver, DriverAction } from "../ownership/index.ts";
import {
  type Configuration,
  type ConfigurationId,
  effectiveHistory,
  type Elect,
  type History,
  isWriteQuorum,
  lastEpoch,
  noConfiguration,
  type Pin,
  type QuorumMessage,
  type Run,
  timelineAt,
} from "../quorum/index.ts";
import { Chosen } from "./chosen.ts";
import { EpochBooks } from "./epoch-books.ts";
import { SimFailure } from "./failure.ts";
import { checkFillable } from "./fillable.ts";
import { checkRecoverable, type NodeView } from "./recoverable.ts";
import { SaidBook } from "./said-book.ts";
import type { SimInstance } from "./sim-instance.ts";
import type { SimNode } from "./sim-node.ts";
import type { SimReader } from "./sim-reader.ts";
import { origin } from "./spans.ts";
import type { SimWorld } from "./world.ts";

/** What a node has said, and has to keep. */
interface Word {
  promised: Epoch;
  /** The newest epoch in which it acknowledged something, and how far. */
  epoch: Epoch;
  scl: Lsn;
  agrees: Lsn;
  version: number;
  base: Lsn;
  /** In its durable state, as last seen. */
  pins: readonly Pin[];
  configuration: Configuration;
  /** What of its log was compared with what other nodes hold. */
  compared: Lsn;
}

interface Committed {
  readonly xid: number;
  readonly end: Lsn;
}

/** Reads everybody's state and takes no part: the laws I1 to I15, after every step that could break them. */
export class Observer {
  readonly chosen = new Chosen();
  /** Newest epoch that has opened. */
  opened: Epoch = epochNone;
  openedHistory: History = [];
  committed: Committed[] = [];
  readonly unknown = new Set<number>();
  private readonly world: SimWorld;
  private readonly books = new EpochBooks();
  private readonly words = new Map<string, Word>();
  private readonly told = new Map<NodeId, ConfigurationId>();
  private readonly said = new SaidBook();
  private readonly shown = new Map<SimReader, { version: number; epoch: Epoch; to: Lsn }>();
  private mustCheckQuorums = false;

  constructor(world: SimWorld) {
    this.world = world;
  }

  private wordOf(node: SimNode): Word {
    let word = this.words.get(node.name);
    if (!word) {
      word = {
        promised: epochNone,
        epoch: epochNone,
        scl: origin,
        agrees: origin,
        version: 0,
        base: origin,
        pins: [],
        configuration: noConfiguration,
        compared: origin,
      };
      this.words.set(node.name, word);
    }
    return word;
  }

  // Nodes.

  noteSaid(node: SimNode, message: QuorumMessage): void {
    switch (message.kind) {
      case "promise": {
        const word = this.wordOf(node);
        if (message.epoch > word.promised) word.promised = message.epoch;
        if (node.files.newest().acceptor.promised < message.epoch)
          throw new SimFailure(
            "I6",
            `${node.name} promised epoch ${message.epoch} and has not written it`,
          );
        return undefined;
      }
      case "electAck":
      case "appendAck":
      case "heartbeatAck":
        return this.noteWord(node, message.epoch, message.scl);
      case "configAck":
        this.told.set(node.nodeId, message.configuration);
        return undefined;
      default:
        return undefined;
    }
  }

  private noteWord(node: SimNode, epoch: Epoch, scl: Lsn): void {
    if (scl < origin) return;
    const word = this.wordOf(node);
    if (epoch > word.epoch) {
      word.epoch = epoch;
      word.scl = scl;
    } else if (epoch === word.epoch) word.scl = lsnMaxOf(word.scl, scl);
    this.said.note(epoch, node.nodeId, scl);
    this.checkWord(node, word);
  }

  private checkWord(node: SimNode, word: Word): void {
    const { acceptor } = node.files.newest();
    if (acceptor.accepted !== word.epoch || node.health === "damaged" || node.fate === "lost")
      return;
    if (acceptor.pendingCut !== undefined || node.files.durableEnd >= word.scl) return;
    const has = formatLsn(node.files.durableEnd);
    throw new SimFailure(
      "I15",
      `${node.name} acknowledged ${formatLsn(word.scl)} in epoch ${word.epoch} and has synced ${has}`,
    );
  }

  /** After an acceptor's step. */
  noteNode(node: SimNode): void {
    const word = this.wordOf(node);
    const { state } = node.acceptor;
    if (state.promised < word.promised)
      throw new SimFailure(
        "I6",
        `${node.name} promised ${word.promised}, and now says ${state.promised}`,
      );
  }

  /** Frames were written and are not synced. */
  noteWritten(node: SimNode): void {
    const word = this.wordOf(node);
    this.books.checkBytes(node, word.compared);
    word.compared = node.log.end;
  }

  /** Something of the node became durable: state, log, or both. */
  noteDurable(node: SimNode): void {
    const word = this.wordOf(node);
    const { state } = node.acceptor;
    word.compared = lsnMin(word.compared, node.log.end);
    if (state.pendingCut === undefined && node.fate !== "lost")
      this.books.checkPath(node, state.history);
    this.checkWord(node, word);
    if (state.base > word.base) {
      word.base = state.base;
      checkFillable(this.world, { opened: this.opened, end: this.chosen.end }, this.told);
    }
    if (state.base > this.chosen.end && state.base > origin)
      throw new SimFailure(
        "I9",
        `${node.name} begins at ${formatLsn(state.base)}, above what is chosen`,
      );
    this.notePinsAndMembers(node, word);
    this.mustCheckQuorums = true;
  }

  /** A state that was made from another shares what did not change. */
  private notePinsAndMembers(node: SimNode, word: Word): void {
    const { pins, configuration } = node.files.newest().acceptor;
    if (pins === word.pins && configuration === word.configuration) return;
    word.pins = pins;
    word.configuration = configuration;
    this.world.clones.noteState();
  }

  noteLost(node: SimNode): void {
    this.words.delete(node.name);
    this.mustCheckQuorums = true;
  }

  noteCut(node: SimNode, cut: PendingCut, history: History): void {
    const word = this.wordOf(node);
    const epoch = lastEpoch(history);
    const agrees = this.agreement(node, word);
    const isAsked = history.some((entry) => entry.kind === "backtrack" && entry.start <= cut.to);
    const lost = lsnMin(agrees, this.chosen.end);
    // One that is empty above a low-water may begin at a lower one, if that is the claimant's: it holds nothing to lose.
    const hasLog = node.log.end > node.log.base;
    if (epoch >= this.opened && hasLog && cut.to < lost && !isAsked)
      throw new SimFailure(
        "I8",
        `epoch ${epoch} makes ${node.name} cut to ${formatLsn(cut.to)}, acknowledged ${formatLsn(lost)}`,
      );
    word.agrees = lsnMin(word.agrees, cut.to);
    word.compared = lsnMin(word.compared, cut.to);
  }

  private agreement(node: SimNode, word: Word): Lsn {
    if (word.version !== this.chosen.version) {
      word.version = this.chosen.version;
      word.agrees = origin;
    }
    const from = lsnMaxOf(word.agrees, node.log.base);
    word.agrees = this.chosen.agreement(node.log, from, node.files.durableEnd);
    return word.agrees;
  }

  /** After a node's log was read anew from its disk. */
  noteBooted(node: SimNode): void {
    const word = this.wordOf(node);
    word.agrees = origin;
    word.compared = origin;
    this.books.checkBytes(node, origin);
    this.noteDurable(node);
  }

  // Drivers.

  noteElect(elect: Elect): void {
    this.books.noteElect(elect);
  }

  noteBacktrack(_epoch: Epoch): void {}

  noteAlarm(name: string, reason: string): void {
    throw new SimFailure("I12", `${name} stopped: ${reason}`);
  }

  noteOpened(driver: Driver, action: Extract<DriverAction, { kind: "opened" }>): void {
    const { epoch, start, history, low, vdl } = action;
    const { counters, book } = this.world;
    counters.note("epochs opened");
    if (!book.isEnd(history, start))
      throw new SimFailure("I13", `epoch ${epoch} starts at ${formatLsn(start)}, inside a record`);
    if (low > start) throw new SimFailure("I9", `epoch ${epoch} has its low-water above its start`);
    this.checkHeld(driver.configuration, epoch, vdl);
    if (epoch < this.opened) {
      this.checkLate(epoch, vdl);
      const runsOf = (from: Lsn): readonly Run[] =>
        this.said.runsFrom(this.world.nodes, epoch, { history, from, to: vdl }) ?? [];
      return this.chosen.noteLate(epoch, vdl, runsOf);
    }
    for (const entry of history) {
      if (entry.kind !== "backtrack" || entry.epoch <= this.opened) continue;
      counters.note("backtracks opened");
      this.chosen.shrink(entry.start, entry.epoch);
      this.committed = this.committed.filter((one) => one.end <= entry.start);
    }
    if (start < this.chosen.end)
      throw new SimFailure(
        "I2",
        `epoch ${epoch} opens at ${formatLsn(start)}, acknowledged ${formatLsn(this.chosen.end)}`,
      );
    this.opened = epoch;
    this.openedHistory = history;
    this.chooseFromNodes(epoch, history, vdl);
    this.mustCheckQuorums = true;
  }

  /** A late acknowledgement is of what is chosen, or of what a newer epoch's backtrack has removed. */
  private checkLate(epoch: Epoch, vdl: Lsn): void {
    if (vdl <= this.chosen.end || this.chosen.isRemoved(vdl, epoch)) return;
    throw new SimFailure(
      "I2",
      `epoch ${epoch} acknowledged ${formatLsn(vdl)} after epoch ${this.opened} opened`,
    );
  }

  /** What a recovery found and W nodes hold now is acknowledged with the opening. */
  private chooseFromNodes(epoch: Epoch, history: History, to: Lsn): void {
    const from = this.chosen.end;
    if (to <= from) return;
    const runs = this.said.runsFrom(this.world.nodes, epoch, { history, from, to });
    if (!runs)
      throw new SimFailure("I4", `epoch ${epoch} opens, and nobody holds its log to its start`);
    for (const run of runs) this.chosen.extend(run);
  }

  /** I4: W of every set have said, and so had synced, that much. */
  private checkHeld(configuration: Configuration, epoch: Epoch, vdl: Lsn): void {
    if (vdl <= origin) return;
    if (!isWriteQuorum(configuration, (node) => this.said.has(epoch, node, vdl)))
      throw new SimFailure(
        "I4",
        `epoch ${epoch} acknowledges ${formatLsn(vdl)}, which no write quorum has`,
      );
  }

  noteDurableAt(instance: SimInstance, driver: Driver, vdl: Lsn): void {
    const { epoch, history, start, configuration } = driver;
    if (!this.world.book.isEnd(history, vdl))
      throw new SimFailure("I13", `VDL ${formatLsn(vdl)} of epoch ${epoch} is inside a record`);
    this.checkHeld(configuration, epoch, vdl);
    const { wal } = instance;
    if (vdl <= start || !wal) return;
    const { end } = this.chosen;
    // Of its own epoch, and below its start, what it went on from.
    const lateRuns = (from: Lsn): readonly Run[] => [
      ...(from < start
        ? (this.said.runsFrom(this.world.nodes, epoch, { history, from, to: start }) ?? [])
        : []),
      { epoch, timeline: timelineAt(history, start), bytes: wal.view(lsnMaxOf(from, start), vdl) },
    ];
    if (vdl > end) {
      const timeline = timelineAt(history, start);
      if (epoch < this.opened) {
        this.checkLate(epoch, vdl);
        return this.chosen.noteLate(epoch, vdl, lateRuns);
      }
      this.chosen.extend({ epoch, timeline, bytes: wal.view(end, vdl) });
      this.mustCheckQuorums = true;
      return;
    }
    if (epoch < this.opened) this.world.counters.note("late acknowledgements");
    if (epoch < this.opened && this.chosen.isRemoved(vdl, epoch))
      return this.chosen.noteLate(epoch, vdl, lateRuns);
    if (!this.chosen.holds(start, wal.view(start, vdl), epoch))
      throw new SimFailure(
        "I1",
        `epoch ${epoch} acknowledges other bytes than were chosen below ${formatLsn(vdl)}`,
      );
  }

  noteCommitted(xid: number, end: Lsn, epoch: Epoch): void {
    this.world.counters.note("commits");
    if (end <= this.chosen.end && epoch >= this.opened) this.committed.push({ xid, end });
  }
  noteUnknown(xid: number): void {
    this.unknown.add(xid);
  }

  // Readers, reads.

  noteReaderRebuilt(reader: SimReader): void {
    this.shown.delete(reader);
  }

  noteShown(reader: SimReader, to: Lsn): void {
    const before = this.shown.get(reader);
    const { epoch } = reader.view;
    const { version } = this.chosen;
    const isSame = before?.version === version && before.epoch === epoch;
    const from = isSame ? before.to : reader.log.base;
    if (to <= from) return;
    this.world.counters.note("readers advanced");
    if (!this.chosen.holds(from, reader.log.view(from, to), epoch))
      throw new SimFailure("I5", `${reader.name} shows up to ${formatLsn(to)} what is not chosen`);
    this.shown.set(reader, { version, epoch, to });
  }

  noteRead(name: string, epoch: Epoch, openThen: Epoch): void {
    if (openThen > epoch)
      throw new SimFailure(
        "I10",
        `${name} released a result of epoch ${epoch}, asked for when epoch ${openThen} was open`,
      );
  }

  /** After every step. */
  check(): void {
    this.world.clones.check();
    if (!this.mustCheckQuorums) return;
    this.mustCheckQuorums = false;
    const views: NodeView[] = [];
    for (const node of this.world.nodes) {
      if (node.fate === "lost" || node.health === "damaged") continue;
      const { acceptor } = node.files.newest();
      if (acceptor.sealed !== undefined) continue;
      // It says nothing until it has cut; then it is looked at.
      if (acceptor.pendingCut !== undefined) return;
      const word = this.wordOf(node);
      const scl = node.files.durableEnd;
      const history = effectiveHistory(acceptor.history, scl);
      views.push({
        name: node.name,
        nodeId: node.nodeId,
        lastEpoch: lastEpoch(history),
        scl,
        agrees: this.agreement(node, word),
        history,
        configuration: acceptor.configuration,
      });
    }
    checkRecoverable(views, this.chosen.end, this.opened);
  }
}
