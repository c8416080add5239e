import type { Epoch, NodeId, VolumeId } from "../base/ids.ts";
import { advance, formatLsn, type Lsn } from "../base/lsn.ts";
import { type AcceptorState, formattedState } from "../acceptor/index.ts";
import { type Disk, realDisk } from "../io/index.ts";
import {
  effectiveHistory,
  extendHistory,
  type History,
  type MemberSet,
  timelineAt,
} from "../quorum/index.ts";
import { ancestorOf, type Ancestors, ancestorsOfClone } from "./ancestors.ts";
import { fileHeaderBytes, parseFileHeader } from "./frame.ts";
import { parseKeptFolder } from "./kept-folder.ts";
import type { SourceFile } from "./kept-log-shell.ts";
import { sortOut } from "./log-recovery-shell.ts";
import {
  findLogFiles,
  holdLeftLog,
  type LeftLog,
  type RetiredTail,
  retiredTailsOf,
} from "./retired-tails-shell.ts";
import { folderOf, readAncestors, writeNodeFolder } from "./state-file-shell.ts";
import { newestSlot } from "./state-slots.ts";

/**
 * How a clone's node comes to be (quorum-protocol.md 13, decisions.md D29): the log files of a parent's node under further
 * names, and a state as if the clone's first epoch had begun where it branches off.
 *
 *     parent   |---- e1 ----|---- e3 ----------|----- ...
 *     clone    |---- e1 ----|---- e3 ----| birth, without a byte
 *                                        B
 */
export interface CloneBirth {
  readonly volumeId: VolumeId;
  readonly members: MemberSet;
  /** The parent's path. */
  readonly path: History;
  /** Whose log the inherited part of the path is. */
  readonly parentVolume: VolumeId;
  /** From where on the clone has log: a record end, or the start of a WAL segment. */
  readonly from: Lsn;
  /** B, where it branches off: a record end. */
  readonly branch: Lsn;
  /** Above every epoch that a node of the parent has promised. */
  readonly epoch: Epoch;
}

/** Gives a file a further name, or copies it durably where that cannot be. `to` does not exist. */
export type TakeFile = (from: string, to: string) => Promise<void>;

/** Log files that hold [from, branch) of the parent's path, or why a node has no such files. */
export type CloneSource =
  | {
      readonly kind: "files";
      readonly files: readonly SourceFile[];
      /** What backtracks cut off, for a salvage; a clone has nothing to return to. */
      readonly tails: readonly RetiredTail[];
      readonly volumeId: VolumeId;
      readonly nodeId: NodeId;
      readonly ancestors: Ancestors;
    }
  | { readonly kind: "none"; readonly why: string };

/** What the state file of a node says. Raises XX001 and the system's errors; undefined: no node was ever made there. */
export async function readNodeState(
  dir: string,
  disk: Disk = realDisk,
): Promise<AcceptorState | undefined> {
  const bytes = await disk.readWhole(folderOf.state(dir));
  return bytes && newestSlot(bytes)?.newest.state.acceptor;
}

/** What a node of the parent keeps for a pin, running or not. */
export async function pinnedFiles(
  dir: string,
  pin: { readonly pinId: string; readonly from: Lsn; readonly to: Lsn },
  disk: Disk = realDisk,
): Promise<CloneSource> {
  const state = await readNodeState(dir, disk);
  if (!state?.pins.some(({ pinId }) => pinId === pin.pinId)) return none("it has not the pin");
  const kept = `${folderOf.pins(dir)}/${pin.pinId}`;
  const parts = (await disk.list(kept)).map((name) => ({ name, folder: parseKeptFolder(name) }));
  // One that was kept in several moves has files that need not be one log.
  const whole = parts.find(({ folder }) => folder?.from === pin.from && folder.to === pin.to);
  if (!whole) return none("it does not keep the pin in one part");
  const { volumeId, nodeId } = state;
  const ancestors = await readAncestors(disk, dir);
  const files = await findLogFiles(disk, `${kept}/${whole.name}`);
  return judgeFiles({ disk, files, from: pin.from, volumeId, nodeId, ancestors });
}

/**
 * The log files of a node that does not run, which hold its path up to `to`: whoever asks has heard that from the node. And
 * what backtracks cut off from it. For a salvage, whose nodes are sealed: nothing of them changes any more.
 */
export async function logFilesOf(
  dir: string,
  range: { readonly from: Lsn; readonly to: Lsn },
  disk: Disk = realDisk,
): Promise<CloneSource> {
  const bytes = await disk.readWhole(folderOf.state(dir));
  const state = bytes && newestSlot(bytes)?.newest.state;
  if (!state) return none("it has no state");
  const { volumeId, nodeId, base } = state.acceptor;
  const ancestors = await readAncestors(disk, dir);
  const found = [];
  for (const file of await findLogFiles(disk, folderOf.log(dir)))
    found.push({ ...file, header: await readHeader(disk, file.path) });
  const { live } = sortOut(found, { base, cut: state.cut });
  const holding = new Set(live.filter((one) => one.firstLsn < range.to).map((one) => one.sequence));
  const files = found.filter(({ sequence }) => holding.has(sequence));
  const source = await judgeFiles({
    disk,
    files,
    from: range.from,
    volumeId,
    nodeId,
    ancestors,
  });
  return source.kind === "files" ? { ...source, tails: await retiredTailsOf(dir, disk) } : source;
}

/** Whether a node that is made from this source has all of a future that a backtrack left. */
export async function holdsLeftLog(
  source: CloneSource,
  left: LeftLog,
  disk: Disk = realDisk,
): Promise<boolean> {
  return source.kind === "files" && (await holdLeftLog(source.tails, left, disk));
}

function none(why: string): CloneSource {
  return { kind: "none", why };
}

/** Only files of which everybody can tell by their numbers who wrote them, one behind the other. */
async function judgeFiles(given: {
  readonly disk: Disk;
  readonly files: readonly SourceFile[];
  readonly from: Lsn;
  readonly volumeId: VolumeId;
  readonly nodeId: NodeId;
  readonly ancestors: Ancestors;
}): Promise<CloneSource> {
  const { disk, files, from, volumeId, nodeId, ancestors } = given;
  let before: Lsn | undefined;
  for (const { sequence, path } of files) {
    const parsed = await readHeader(disk, path);
    if (parsed.kind !== "good") return none(`${path} has no readable header`);
    const { header } = parsed;
    const owner = ancestorOf(ancestors, sequence) ?? { volumeId, nodeId };
    const isOf = header.volumeId === owner.volumeId && header.nodeId === owner.nodeId;
    if (!isOf || header.sequence !== sequence) return none(`${path} was written by another node`);
    const isNext = before === undefined ? header.firstLsn <= from : header.firstLsn > before;
    if (!isNext) return none(`${path} begins at ${formatLsn(header.firstLsn)}`);
    before = header.firstLsn;
  }
  if (before === undefined) return none("it has no log file");
  return { kind: "files", files, tails: [], volumeId, nodeId, ancestors };
}

async function readHeader(disk: Disk, path: string) {
  const file = await disk.open(path, "read");
  try {
    const bytes = Buffer.alloc(fileHeaderBytes);
    return parseFileHeader(bytes.subarray(0, await file.read(bytes, 0)));
  } finally {
    await file.close();
  }
}

/**
 * Makes a node of a clone in `dir`, which does not exist yet, from files that hold its log up to the branch. Without any it
 * is empty, knows the path, and fills from its peers: a write quorum has to have the log from the start. Durable when it
 * returns.
 */
export async function makeCloneNode(
  order: {
    readonly dir: string;
    readonly nodeId: NodeId;
    readonly birth: CloneBirth;
    readonly source: CloneSource;
    readonly take: TakeFile;
  },
  disk: Disk = realDisk,
): Promise<void> {
  const { dir, nodeId, birth, source, take } = order;
  const acceptor = birthState(birth, nodeId);
  const empty = { acceptor, cut: undefined, rotKnownEnd: undefined };
  const last = source.kind === "files" ? source.files.at(-1) : undefined;
  if (source.kind !== "files" || !last) return writeNodeFolder(disk, dir, { state: empty });
  const log = folderOf.log(dir);
  await disk.createFolder(log);
  for (const { path } of source.files)
    await take(path, `${log}/${path.slice(path.lastIndexOf("/") + 1)}`);
  await disk.syncFolder(log);
  await takeTails(disk, { dir, tails: source.tails, take });
  const { sequence } = last;
  // Beside the log may lie files that were cut off whole: the node's own are numbered behind those, too.
  const lastSequence = Math.max(
    sequence,
    ...source.tails.flatMap(({ files }) => files.map((one) => one.sequence)),
  );
  await writeNodeFolder(disk, dir, {
    // What the last file holds beyond the branch is the parent's.
    state: { ...empty, cut: { to: birth.branch, sequence: lastSequence } },
    // The parent has synced all of it: no start has to read it through.
    mark: { sequence, lsn: birth.branch },
    ancestors: ancestorsOfClone({ ...source, lastSequence }, birth.branch),
  });
}

/** Nothing is looked for there before the node's state is written, so no folder needs another name until it is whole. */
async function takeTails(
  disk: Disk,
  { dir, tails, take }: { dir: string; tails: readonly RetiredTail[]; take: TakeFile },
): Promise<void> {
  const retired = folderOf.retired(dir);
  for (const { name, files } of tails) {
    const folder = `${retired}/${name}`;
    await disk.createFolder(folder);
    for (const { path } of files)
      await take(path, `${folder}/${path.slice(path.lastIndexOf("/") + 1)}`);
    await disk.syncFolder(folder);
  }
  if (tails.length > 0) await disk.syncFolder(retired);
}

function birthState(birth: CloneBirth, nodeId: NodeId): AcceptorState {
  const { volumeId, members, path, parentVolume, from, branch, epoch } = birth;
  const inherited = effectiveHistory(path, branch).map((entry) => ({
    ...entry,
    volumeId: entry.volumeId ?? parentVolume,
  }));
  const timeline = timelineAt(inherited, advance(branch, -1));
  const own = { epoch, timeline, start: branch, kind: "branch" as const };
  return {
    ...formattedState({ volumeId, nodeId, base: from }),
    promised: epoch,
    accepted: epoch,
    history: extendHistory(inherited, own),
    configuration: { id: { epoch, version: 1 }, sets: [members] },
  };
}
