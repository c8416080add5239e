import { linkSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { findBootId, realEntropy } from "../io/index.ts";
import { isErrno } from "./errno.ts";
import { isProcessOf } from "./process-identity.ts";

/**
 * The lock of a directory: a file that says who has it. It gets its content before it gets its name, so nobody sees half of
 * one. What a dead process left is not removed, since another one may have taken its place by then; it is *followed*: who takes
 * over from the lock of token T makes `lock.after-T`, which only one process can, and puts that in the lock's place. One that
 * dies in between is followed in the same way, so a chain may begin at the lock; whoever is last in it has the directory.
 */
interface Lock {
  readonly pid: number;
  /** Of the machine's start in which it was written; "" where the system does not tell. */
  readonly bootId: string;
  /** Another for each taking. Of older versions' locks: "". */
  readonly token: string;
}

export type Taken =
  | { readonly kind: "taken"; readonly release: () => void }
  | { readonly kind: "held"; readonly pid: number }
  /** So many came and went meanwhile that it was not to be had. */
  | { readonly kind: "busy" };

const lockName = "lock";
/** Each further attempt means that another process has got on. */
const attemptsMax = 100;
/** Where files have one name only: a link is refused in one of these ways. */
const noLinks = ["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"];

/**
 * Takes the lock, a file called "lock", for this process, whose command line holds "borealis"; unless a live one has it. Raises
 * the system's error.
 */
export function takeLock(file: string): Taken {
  const own: Lock = { pid: process.pid, bootId: findBootId() ?? "", token: realEntropy.uuid() };
  const draft = `${file}.new-${own.token}`;
  try {
    writeFileSync(draft, `${own.pid}\n${own.bootId}\n${own.token}\n`, { mode: 0o600, flag: "wx" });
    for (let attempt = 0; attempt < attemptsMax; attempt++) {
      const chain = readChain(file);
      const last = chain.at(-1);
      if (last && isHeld(last)) return { kind: "held", pid: last.pid };
      if (!follow(file, chain, draft)) continue;
      removeDead(file);
      return { kind: "taken", release: () => release(file, own) };
    }
    return { kind: "busy" };
  } finally {
    rmSync(draft, { force: true });
  }
}

/** The pid of the live process that has it. Raises the system's error. */
export function findHolder(file: string): number | undefined {
  const last = readChain(file).at(-1);
  return last && isHeld(last) ? last.pid : undefined;
}

/** Whether a file of this name is a lock, or one of those that come and go beside it. */
export function isOfLock(name: string): boolean {
  return name === lockName || name.startsWith(`${lockName}.`);
}

/** True if what lies in the draft comes behind the chain now, and is the lock. */
function follow(file: string, chain: readonly Lock[], draft: string): boolean {
  const [root, last] = [chain[0], chain.at(-1)];
  if (!root || !last) return putIfFree(draft, file);
  const claim = claimOn(file, last);
  if (!putIfFree(draft, claim)) return false;
  // The name is free again once another has followed and is the lock; the dead one's token is not there any more then.
  if (readLock(file)?.token !== root.token) {
    rmSync(claim, { force: true });
    return false;
  }
  renameSync(claim, file);
  return true;
}

function claimOn(file: string, { token }: Lock): string {
  return `${file}.after-${token}`;
}

/** From the lock on, each followed by who has taken over from it. */
function readChain(file: string): Lock[] {
  for (;;) {
    const chain: Lock[] = [];
    const tokens = new Set<string>();
    let next = readLock(file);
    while (next && !tokens.has(next.token)) {
      chain.push(next);
      tokens.add(next.token);
      next = isHeld(next) ? undefined : readLock(claimOn(file, next));
    }
    const [root] = chain;
    // Else the claims may be such as came too late, and are taken back.
    if (chain.length < 2 || readLock(file)?.token === root?.token) return chain;
  }
}

function readLock(file: string): Lock | undefined {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT") || isErrno(error, "ENOTDIR")) return undefined;
    throw error;
  }
  const [first = "", bootId = "", token = ""] = text.split("\n");
  return { pid: Number.parseInt(first, 10), bootId, token };
}

/**
 * A lock of another start of the machine says nothing: its pid is anybody's by now, another cluster's too; and one with our
 * own pid was left in a container of before.
 */
function isHeld({ pid, bootId }: Lock): boolean {
  if (bootId !== "" && bootId !== findBootId()) return false;
  return pid !== process.pid && isProcessOf(pid, "borealis");
}

/** Gives the draft's content a name that nobody has. */
function putIfFree(draft: string, name: string): boolean {
  try {
    linkSync(draft, name);
    return true;
  } catch (error) {
    if (isErrno(error, "EEXIST")) return false;
    if (!noLinks.some((code) => isErrno(error, code))) throw error;
  }
  const text = readFileSync(draft, "utf8");
  try {
    writeFileSync(name, text, { mode: 0o600, flag: "wx" });
  } catch (error) {
    if (isErrno(error, "EEXIST")) return false;
    throw error;
  }
  // It was there without content for a moment, in which another may have taken it for a dead one's.
  return readFileSync(name, "utf8") === text;
}

function release(file: string, own: Lock): void {
  if (readLock(file)?.token === own.token) rmSync(file, { force: true });
}

/** What others left that died on their way; none of it is followed by anybody, since the lock is ours. */
function removeDead(file: string): void {
  for (const name of readdirSync(dirname(file))) {
    if (name === lockName || !isOfLock(name)) continue;
    const path = join(dirname(file), name);
    const left = readLock(path);
    // A draft without content is being written.
    if (!left || Number.isNaN(left.pid) || left.pid === process.pid) continue;
    if (!isHeld(left)) rmSync(path, { force: true });
  }
}
