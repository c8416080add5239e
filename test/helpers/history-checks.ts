/** Whether a history can be true: pure. Each check gives the contradictions that it finds, in words; none is what must be. */
import { sqlState } from "../../src/base/errors.ts";
import {
  type Append,
  fateOf,
  type Final,
  grouped,
  type History,
  isExpected,
  outcomeUnknown,
  rowsOf,
  type Transfer,
  type Write,
} from "./history.ts";
import { registerContradictions } from "./register-order.ts";

export interface Contradiction {
  readonly what: string;
  /** About when, for whoever looks at what happened around it. */
  readonly atMs: number;
}

export interface Setup {
  readonly accounts: number;
  /** Of each account, at the beginning. */
  readonly balance: number;
  /** borealis.hold_timeout of every session. */
  readonly holdMs: number;
  /** How much later than it happened the client may have noticed something, or the endpoint done it. */
  readonly slackMs: number;
}

export function contradictionsIn(history: History, final: Final, setup: Setup): Contradiction[] {
  return [
    ...unanswered(history),
    ...rowContradictions("append", history, final.appended),
    ...rowContradictions("transfer", history, final.transferred),
    ...balanceContradictions(history, final, setup),
    ...goneAgain(history, final),
    ...staleLooks(history),
    ...goingBackwards(history),
    ...registerContradictions(history, final.registers),
    ...unexcused(history.writes, setup),
  ];
}

/** Every write has come to an end, and to one that the contract knows. */
function unanswered({ writes }: History): Contradiction[] {
  const found: Contradiction[] = [];
  for (const write of writes) {
    const atMs = write.startMs;
    if (write.outcome === "running") found.push({ what: `never answered: ${nameOf(write)}`, atMs });
    else if (!isExpected(write.outcome))
      found.push({
        what: `answered ${write.outcome}: ${nameOf(write)}${write.said === undefined ? "" : `: ${write.said}`}`,
        atMs: write.endMs,
      });
  }
  return found;
}

/** What was acknowledged is there, what was refused is not, all of a transaction or nothing, each once, by somebody. */
function rowContradictions(
  kind: "append" | "transfer",
  { writes }: History,
  there: ReadonlyMap<number, number>,
): Contradiction[] {
  const found: Contradiction[] = [];
  const known = new Set<number>();
  for (const write of writes) {
    if (write.kind !== kind) continue;
    const atMs = write.endMs === 0 ? write.startMs : write.endMs;
    const counts = rowsOf(write).map((row) => there.get(row) ?? 0);
    for (const row of rowsOf(write)) known.add(row);
    const fate = fateOf(write);
    const present = counts.filter((times) => times > 0).length;
    if (counts.some((times) => times > 1))
      found.push({ what: `applied ${Math.max(...counts)} times: ${nameOf(write)}`, atMs });
    if (fate === "done" && present < counts.length)
      found.push({ what: `acknowledged and missing: ${nameOf(write)}`, atMs });
    else if (fate === "undone" && present > 0)
      found.push({ what: `refused and present: ${nameOf(write)}`, atMs });
    else if (present > 0 && present < counts.length)
      found.push({ what: `present in part: ${nameOf(write)}`, atMs });
  }
  for (const row of there.keys())
    if (!known.has(row)) found.push({ what: `${kind} ${row} is there, by nobody`, atMs: 0 });
  return found;
}

/** Every snapshot showed the same total, and each account has what its transfers left it. */
function balanceContradictions(
  { views, writes }: History,
  { balances, transferred }: Final,
  { accounts, balance }: Setup,
): Contradiction[] {
  const found: Contradiction[] = [];
  for (const { total, endpoint, endMs } of views)
    if (total !== accounts * balance)
      found.push({ what: `${endpoint} showed a total of ${total}`, atMs: endMs });
  const expected = new Map(Array.from({ length: accounts }, (_, k) => [k + 1, balance]));
  const add = (account: number, amount: number): void => {
    expected.set(account, (expected.get(account) ?? 0) + amount);
  };
  for (const write of writes) {
    if (write.kind !== "transfer") continue;
    const times = transferred.get(write.row) ?? 0;
    add(write.from, -times * write.amount);
    add(write.to, times * write.amount);
  }
  for (const [account, amount] of expected)
    if (balances.get(account) !== amount)
      found.push({
        what: `account ${account} has ${balances.get(account)}, by its transfers ${amount}`,
        atMs: 0,
      });
  return found;
}

/** No reader shows what is later gone. */
function goneAgain({ shown }: History, { appended, transferred }: Final): Contradiction[] {
  const found: Contradiction[] = [];
  for (const [row, { endpoint, atMs }] of shown)
    if (!appended.has(row) && !transferred.has(row))
      found.push({ what: `row ${row} was shown by ${endpoint}, and is gone`, atMs });
  return found;
}

/** The writer shows what was acknowledged before it was asked, nothing that was refused, and nothing twice. */
function staleLooks({ looks, writes }: History): Contradiction[] {
  const writeOf = new Map<number, Append | Transfer>();
  for (const write of writes)
    if (write.kind !== "exchange") for (const row of rowsOf(write)) writeOf.set(row, write);
  const found: Contradiction[] = [];
  for (const { row, by, startMs, endMs, count } of looks) {
    const write = writeOf.get(row);
    const fate = write ? fateOf(write) : "undone";
    if (fate === "done" && count === 0 && (write?.endMs ?? 0) < startMs)
      found.push({ what: `${by} did not show row ${row}, acknowledged before`, atMs: endMs });
    if (fate === "undone" && count > 0)
      found.push({ what: `${by} showed row ${row}, which was refused`, atMs: endMs });
    if (count > 1) found.push({ what: `${by} showed row ${row} ${count} times`, atMs: endMs });
  }
  return found;
}

/** One PostgreSQL, as long as it runs, never shows less than it did. Its registers are judged by their order. */
function goingBackwards({ views }: History): Contradiction[] {
  const found: Contradiction[] = [];
  for (const lived of grouped(views, ({ life }) => life).values()) {
    const byEnd = lived.toSorted((a, b) => a.endMs - b.endMs);
    let next = 0;
    let seen = 0;
    for (const view of lived.toSorted((a, b) => a.startMs - b.startMs)) {
      for (let ended = byEnd[next]; ended && ended.endMs < view.startMs; ended = byEnd[++next])
        seen = Math.max(seen, ended.lastPlace);
      if (view.lastPlace < seen) {
        const what = `${view.endpoint} went back from ${seen} to ${view.lastPlace}`;
        found.push({ what, atMs: view.endMs });
      }
    }
  }
  return found;
}

/**
 * A COMMIT sent as its own message may be left open only when no writer was open for all of hold_timeout before the answer. That
 * one was is known by whoever else was served by it: a write that began and was acknowledged within that time.
 * Nor may a session be given up (57P03) while one was.
 */
export function unexcused(
  writes: readonly Write[],
  { holdMs, slackMs }: Pick<Setup, "holdMs" | "slackMs">,
): Contradiction[] {
  const found: Contradiction[] = [];
  const served = writes.filter((write) => write.outcome === "ok");
  const isServed = (fromMs: number, endMs: number): boolean =>
    served.some((one) => one.startMs > fromMs && one.endMs < endMs - slackMs);
  for (const write of writes) {
    const { commitMs, endMs, outcome } = write;
    const fromMs = endMs - holdMs + slackMs;
    if (outcome === sqlState.cannotConnectNow && isServed(fromMs, endMs))
      found.push({ what: `given up though a writer was open: ${nameOf(write)}`, atMs: endMs });
    if (write.form !== "own" || commitMs === undefined) continue;
    if (outcome !== outcomeUnknown && outcome !== "closed") continue;
    const heldMs = endMs - commitMs;
    if (heldMs < holdMs - slackMs) {
      const what = `COMMIT left open (${outcome}) after ${Math.round(heldMs)} ms: ${nameOf(write)}`;
      found.push({ what, atMs: endMs });
    } else if (isServed(fromMs, endMs)) {
      const what = `COMMIT left open (${outcome}) though a writer was open: ${nameOf(write)}`;
      found.push({ what, atMs: endMs });
    }
  }
  return found;
}

/** For a person: which write it is, and how it went. */
export function nameOf(write: Write): string {
  const times = `${Math.round(write.startMs)}..${Math.round(write.endMs)} ms`;
  const who = `${write.form}, session ${write.session}, ${write.outcome}, ${times}`;
  if (write.kind === "exchange")
    return `register ${write.key} from ${write.expected} to ${write.value} (${who})`;
  return `${write.kind} ${rowsOf(write).join(", ")} (${who})`;
}
