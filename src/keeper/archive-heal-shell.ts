import { BorealisError, sqlState } from "../base/errors.ts";
import { advance, bytesBetween, type Lsn, lsnMin } from "../base/lsn.ts";
import {
  type ArchiveIndex,
  type Healing,
  type LeftPath,
  listArchivedLog,
  logObject,
  type LogPath,
  type LogRange,
  type ObjectStore,
  openArchivedLog,
  putArchivedLog,
  runsOf,
} from "../volume/index.ts";
import type { KeeperContext } from "./keeper-shell.ts";
import { readLog, seeVolume } from "./volume-sight-shell.ts";

/** Makes damaged objects of archived log again, and remembers what nobody could. To be used while nobody else changes any. */
export class ArchiveHealing {
  private readonly context: KeeperContext;
  private readonly left: () => readonly LeftPath[];
  private readonly lost = new Set<string>();

  /** `left`: paths that backtracks left, whose log may be kept. */
  constructor(context: KeeperContext, left: () => readonly LeftPath[]) {
    this.context = context;
    this.left = left;
  }

  /** It was damaged when somebody looked last, and nobody had its content. */
  isLost({ epoch, from, to }: LogRange): boolean {
    return this.lost.has(logObject(epoch, from, to));
  }

  /** The bytes of one object, which is healed if it has to be. Undefined: there is none, or it is lost. */
  async open(
    store: ObjectStore,
    range: LogRange,
    signal: AbortSignal,
  ): Promise<Buffer | undefined> {
    const { context } = this;
    const found = await openOrDamaged(context, store, range);
    if (found !== "damaged") return found;
    const healing = await this.heal(store, range, signal);
    return healing === "lost" ? undefined : openArchivedLog(store, context.sealer(), range);
  }

  /**
   * Judges it once more, and puts it again if it is damaged: from other objects that have its bytes, or from the log that
   * storage nodes still have. Raises 58030 while no node answers, and what the store raises.
   */
  async heal(store: ObjectStore, range: LogRange, signal: AbortSignal): Promise<Healing> {
    const { context } = this;
    const name = logObject(range.epoch, range.from, range.to);
    this.lost.delete(name);
    const found = await openOrDamaged(context, store, range);
    if (found !== "damaged") return found ? "good" : "gone";
    const paths = this.left().map(({ history }) => history);
    const plain =
      (await fromOthers(context, store, range)) ??
      (await fromNodes(context, range, { left: paths, signal }));
    if (!plain) {
      this.lost.add(name);
      return "lost";
    }
    await putArchivedLog(store, context.sealer(), range, plain);
    return "healed";
  }
}

async function openOrDamaged(
  context: KeeperContext,
  store: ObjectStore,
  range: LogRange,
): Promise<Buffer | "damaged" | undefined> {
  try {
    return await openArchivedLog(store, context.sealer(), range);
  } catch (error) {
    if (error instanceof BorealisError && error.code === sqlState.dataCorrupted) return "damaged";
    throw error;
  }
}

/** Objects of one epoch that overlap have the same bytes there. */
async function fromOthers(
  context: KeeperContext,
  store: ObjectStore,
  range: LogRange,
): Promise<Buffer | undefined> {
  const index = await listArchivedLog(store);
  index.remove(range);
  const pieces: Buffer[] = [];
  for (let at = range.from; at < range.to;) {
    const piece = await pieceAt(context, store, { index, range, at });
    if (!piece) return undefined;
    pieces.push(piece);
    at = advance(at, piece.length);
  }
  return Buffer.concat(pieces);
}

async function pieceAt(
  context: KeeperContext,
  store: ObjectStore,
  { index, range, at }: { index: ArchiveIndex; range: LogRange; at: Lsn },
): Promise<Buffer | undefined> {
  for (const other of index.covering(range.epoch, at)) {
    const plain = await openOrDamaged(context, store, other);
    if (plain === undefined || plain === "damaged") continue;
    const end = lsnMin(other.to, range.to);
    return plain.subarray(bytesBetween(other.from, at), bytesBetween(other.from, end));
  }
  return undefined;
}

async function fromNodes(
  context: KeeperContext,
  range: LogRange,
  { left, signal }: { readonly left: readonly LogPath[]; readonly signal: AbortSignal },
): Promise<Buffer | undefined> {
  const sight = await seeVolume(context, signal);
  if (!sight) throw nobodyAnswers();
  const isWhole = range.from >= sight.base;
  for (const path of [sight.path, ...left]) {
    const runs = runsOf(path, range.from, range.to);
    if (runs.length !== 1 || runs[0]?.epoch !== range.epoch) continue;
    try {
      const pieces: Buffer[] = [];
      for await (const bytes of readLog(context, { path, ...range }, signal)) pieces.push(bytes);
      return Buffer.concat(pieces);
    } catch (error) {
      if (signal.aborted || !(error instanceof BorealisError)) throw error;
      // They have it, and do not give it: later, perhaps.
      if (path === sight.path && isWhole) throw error;
    }
  }
  return undefined;
}

/** 58030: nothing can be healed now. */
export function nobodyAnswers(): BorealisError {
  return new BorealisError(sqlState.ioError, "no storage node says which log it has", {
    hint: "borealis status shows the nodes; it is healed at the next scrub",
  });
}
