import { messageOf } from "../base/errors.ts";
import type { NodeId, VolumeId } from "../base/ids.ts";
import { bytesBetween, type Lsn, lsnMaxOf, lsnMin } from "../base/lsn.ts";
import { type Pace, restMs } from "../base/pace.ts";
import { type Clock, type Logger, sleep } from "../io/index.ts";
import { piecesOnPath } from "../acceptor/index.ts";
import {
  type Digest,
  type History,
  type QuorumMessage,
  type Run,
  type ScrubProgress,
  type ScrubReport,
} from "../quorum/index.ts";
import { KeptHealer, type Source } from "./kept-heal-shell.ts";
import type { KeptPart } from "./kept-log-shell.ts";
import type { Peers } from "./peers-shell.ts";
import { RottenLog } from "./read-failures.ts";
import { areWhole, digestOf, judgeDigests, runBytes, stretches } from "./scrub-plan.ts";
import type { NodeStorage } from "./storage-shell.ts";

export interface ScrubDeps {
  readonly storage: NodeStorage;
  readonly peers: Peers;
  readonly peerIds: readonly NodeId[];
  readonly owner: { readonly volumeId: VolumeId; readonly nodeId: NodeId };
  readonly clock: Clock;
  readonly logger: Logger;
  /** The path that the log is on. */
  readonly history: () => History;
  /** A read of the log found rot: the node starts anew and heals. */
  readonly onReadFailed: (error: unknown) => void;
  /** Told of each stretch. */
  readonly onProgress?: (progress: ScrubProgress) => void;
}

/**
 * Reads everything a node has, so that what rots is found while there are good copies (section 15): state, mark, headers,
 * every frame of the log, of retired tails and of pins. Peers are asked whether they have the same, which finds what a CRC
 * cannot: a write that went astray. Rot of the log ends the process, which starts anew and heals; the rest is healed here.
 */
export class Scrub {
  private readonly deps: ScrubDeps;
  private checkedBytes = 0;
  private totalBytes = 0;
  private unhealed = 0;
  private compared = 0;

  constructor(deps: ScrubDeps) {
    this.deps = deps;
  }

  /** One pass; a Scrub is made for each. */
  async run(pace: Pace, signal: AbortSignal): Promise<ScrubReport> {
    const { storage, logger } = this.deps;
    try {
      await storage.scrubFacts();
      this.totalBytes = storage.kept.all.reduce(
        (sum, { from, to }) => sum + bytesBetween(from, to),
        storage.log.logBytes,
      );
      await this.log(pace, signal);
      for (const part of storage.kept.all) await this.part(part);
    } catch (error) {
      // What it says of the disk is judged like any other failure to read.
      this.unhealed++;
      this.deps.onReadFailed(error);
    }
    // Log that is still missing was not read, and is not well.
    if (storage.health === "damaged") this.unhealed++;
    const { checkedBytes, unhealed, compared } = this;
    const { healed } = storage;
    const report: ScrubReport = { kind: "scrubReport", checkedBytes, healed, unhealed, compared };
    logger.info({ event: "scrub.done", ...report });
    return report;
  }

  private noteChecked(bytes: number): void {
    this.checkedBytes += bytes;
    const { checkedBytes, totalBytes } = this;
    this.deps.onProgress?.({ kind: "scrubProgress", checkedBytes, totalBytes });
  }

  // The log.

  private async log(pace: Pace, signal: AbortSignal): Promise<void> {
    const { storage, clock } = this.deps;
    const { log } = storage;
    await log.checkHeaders();
    const totalBytes = log.logBytes;
    for (const stretch of stretches(log.base, log.scl)) {
      if (signal.aborted) return;
      await this.stretch(stretch);
      if (pace === "now") continue;
      const bytes = bytesBetween(stretch.from, stretch.to);
      await sleep(clock, restMs(bytes, { totalBytes, ...pace }), signal);
    }
  }

  private async stretch(stretch: { readonly from: Lsn; readonly to: Lsn }): Promise<void> {
    const { log } = this.deps.storage;
    // What was cut or dropped meanwhile is no log any more.
    const from = lsnMaxOf(stretch.from, log.base);
    const to = lsnMin(stretch.to, log.scl);
    if (from >= to) return;
    const range = { from, to };
    let runs: Run[];
    try {
      runs = await log.read({ ...range, limitBytes: bytesBetween(from, to) });
    } catch (error) {
      if (from < log.base) return;
      this.unhealed++;
      this.deps.onReadFailed(error);
      return;
    }
    this.noteChecked(runBytes(runs));
    if (areWhole(runs, range)) await this.compare(range, runs);
  }

  private async compare(range: { from: Lsn; to: Lsn }, runs: readonly Run[]): Promise<void> {
    const { peers, peerIds, history, logger, storage } = this.deps;
    const own = digestOf(runs);
    const path = history();
    const answers = await Promise.all(
      peerIds.map((peer) => peers.ask(peer, { kind: "digest", path, ...range })),
    );
    const hashes = answers.flatMap((answer) => {
      if (answer?.kind !== "digestData" || answer.from !== range.from) return [];
      return answer.to === range.to ? [answer.hash] : [];
    });
    if (hashes.length > 0) this.compared++;
    const verdict = judgeDigests(own, hashes);
    if (verdict === "same") return;
    logger.error({ event: "scrub.differs", ...range, verdict, own, hashes });
    if (verdict === "unclear") {
      this.unhealed++;
      return;
    }
    this.unhealed++;
    await storage.log.condemn(range.from, range.to);
    this.deps.onReadFailed(new RottenLog(range.from, "all peers have something else there"));
  }

  /** A peer asks what the log is here. */
  async answer(asked: Digest): Promise<QuorumMessage> {
    const { log } = this.deps.storage;
    const { path, from, to } = asked;
    try {
      const runs = await log.read({ from, to, limitBytes: bytesBetween(from, to) });
      const pieces = piecesOnPath(path, from, { lsn: from, runs }, (is, wanted) => is === wanted);
      const onPath = pieces.map(({ run, bytes }) => ({ ...run, bytes }));
      if (areWhole(onPath, { from, to }))
        return { kind: "digestData", from, to, hash: digestOf(runs) };
    } catch (error) {
      if (error instanceof RottenLog) this.deps.onReadFailed(error);
    }
    return { kind: "notHere", base: log.base, scl: log.scl };
  }

  // What is kept beside it.

  private async part(part: KeptPart): Promise<void> {
    const { kept } = this.deps.storage;
    for (const file of await kept.filesOf(part)) {
      if (!kept.all.includes(part)) return;
      const range = { from: lsnMaxOf(file.from, part.from), to: file.to };
      if (range.from >= range.to) continue;
      try {
        await part.files.checkHeader(file.sequence, file.firstLsn);
        this.noteChecked(await kept.checkPart(part, range));
      } catch (error) {
        if (!(error instanceof RottenLog)) throw error;
        await this.heal(part, { sequence: file.sequence, ...range }, error);
      }
    }
  }

  private async heal(
    part: KeptPart,
    file: { readonly sequence: number; readonly from: Lsn; readonly to: Lsn },
    error: RottenLog,
  ): Promise<void> {
    const { storage, logger, owner } = this.deps;
    const pin = storage.acceptorState.pins.find((one) => one.pinId === part.pinId);
    const healer = new KeptHealer({ disk: storage.disk, owner, sources: this.sources() });
    const isHealed = await storage.log.inOrder(() => healer.heal(part, file, pin?.path));
    part.table = undefined;
    const facts = { part: part.path, at: error.lsn, reason: messageOf(error) };
    if (isHealed) {
      storage.noteHealed();
      logger.warn({ event: "scrub.healed", ...facts });
      return;
    }
    this.unhealed++;
    logger.error({ event: "scrub.unhealed", ...facts });
  }

  /** The own log, what else is kept, then the peers one by one. */
  private sources(): Source[] {
    const { storage, peers, peerIds } = this.deps;
    const { log, kept } = storage;
    const ownLog: Source = async (_, from, to) => {
      if (from < log.base || from >= log.scl) return [];
      return log.read({ from, to, limitBytes: bytesBetween(from, to) }).catch(() => []);
    };
    const ownKept: Source = (path, from, to) =>
      kept.read({ path, from, to, limitBytes: bytesBetween(from, to), onlyPins: false });
    const ofPeers = peerIds.map((peer): Source => async (path, from, to) => {
      const answer = await peers.ask(peer, { kind: "getLog", path, from, to, maxVdl: false });
      return answer?.kind === "logData" && answer.lsn === from ? answer.runs : [];
    });
    return [ownLog, ownKept, ...ofPeers];
  }
}
