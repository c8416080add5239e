/**
 * Registers, judged: pure. No value is written twice, and each exchange names the value that it replaces; so the value that is
 * there at the end tells, from exchange to exchange, the one order in which all of them happened. What is left to
 * check is that every answer lies in that order, and that time does: who was answered before another began is before it.
 * For registers whose values are written once that is linearizability (Gibbons and Korach, "Testing shared memories", 1997).
 */
import { type Exchange, fateOf, grouped, type History, type View } from "./history.ts";

interface Contradiction {
  readonly what: string;
  readonly atMs: number;
}

/** What a register is before anybody has written: its key. */
export function firstValue(key: number): number {
  return key;
}

export function registerContradictions(
  { writes, views }: Pick<History, "writes" | "views">,
  final: ReadonlyMap<number, number>,
): Contradiction[] {
  const exchanges = writes.filter((write): write is Exchange => write.kind === "exchange");
  const byKey = grouped(exchanges, ({ key }) => key);
  const found: Contradiction[] = [];
  for (const [key, last] of final) {
    const own = byKey.get(key) ?? [];
    const order = orderOf(key, own, last);
    if (order instanceof Map) found.push(...judge(key, own, views, order));
    else found.push({ what: order, atMs: 0 });
  }
  return found;
}

/** The place of each value that the register has had, from 0; or why there is no such order. */
function orderOf(
  key: number,
  exchanges: readonly Exchange[],
  last: number,
): Map<number, number> | string {
  const writerOf = new Map(exchanges.map((one) => [one.value, one]));
  const backwards: number[] = [];
  let value = last;
  while (value !== firstValue(key)) {
    const writer = writerOf.get(value);
    if (!writer) return `register ${key} had ${value}, by nobody`;
    // Who wrote it is taken out: a value that comes again would have to be written again.
    writerOf.delete(value);
    backwards.push(value);
    value = writer.expected;
  }
  backwards.push(value);
  return new Map(backwards.toReversed().map((one, place) => [one, place]));
}

/** Something that was seen of a register: its place in the order, and when. */
interface Sight {
  readonly what: () => string;
  readonly place: number;
  readonly isWrite: boolean;
  readonly startMs: number;
  /** Infinity where nobody was told. */
  readonly endMs: number;
}

function judge(
  key: number,
  exchanges: readonly Exchange[],
  views: readonly View[],
  order: ReadonlyMap<number, number>,
): Contradiction[] {
  const found: Contradiction[] = [];
  const atWriter: Sight[] = [];
  for (const one of exchanges) {
    const place = order.get(one.value);
    const fate = fateOf(one);
    const what = (): string =>
      `register ${key} from ${one.expected} to ${one.value} (session ${one.session}, ${one.outcome})`;
    if (place === undefined && fate === "done")
      found.push({ what: `acknowledged and missing: ${what()}`, atMs: one.endMs });
    if (place !== undefined && fate === "undone")
      found.push({ what: `refused and present: ${what()}`, atMs: one.endMs });
    if (place === undefined || fate === "undone") continue;
    const endMs = fate === "done" ? one.endMs : Number.POSITIVE_INFINITY;
    atWriter.push({ what, place, isWrite: true, startMs: one.startMs, endMs });
  }
  const atReaders: (Sight & { readonly life: string })[] = [];
  for (const { endpoint, life, registers, startMs, endMs } of views) {
    const value = registers[key - 1] ?? 0;
    const place = order.get(value);
    const what = (): string => `register ${key} = ${value} at ${endpoint}`;
    if (place === undefined) {
      found.push({ what: `shown and gone: ${what()}`, atMs: endMs });
      continue;
    }
    const sight = { what, place, isWrite: false, startMs, endMs };
    if (endpoint === "writer") atWriter.push(sight);
    else atReaders.push({ ...sight, life });
  }
  found.push(...disorder(atWriter), ...unmatched(exchanges, atWriter, order));
  for (const sights of grouped(atReaders, ({ life }) => life).values())
    found.push(...disorder(sights));
  return found;
}

/** Who was answered before another began is before it. */
function disorder(sights: readonly Sight[]): Contradiction[] {
  const found: Contradiction[] = [];
  const seen = new PlaceSeen(sights);
  for (const { what, place, isWrite, startMs } of sights.toSorted(byStart)) {
    const least = seen.before(startMs) + (isWrite ? 1 : 0);
    if (place < least)
      found.push({ what: `out of order: ${what()}, after place ${least} was seen`, atMs: startMs });
  }
  return found;
}

/** An exchange that found no row: at no moment between its question and its answer may its value have been expected. */
function unmatched(
  exchanges: readonly Exchange[],
  sights: readonly Sight[],
  order: ReadonlyMap<number, number>,
): Contradiction[] {
  const found: Contradiction[] = [];
  const startOf = new Map<number, number>();
  for (const { place, isWrite, startMs } of sights) if (isWrite) startOf.set(place, startMs);
  const seen = new PlaceSeen(sights);
  for (const one of exchanges.toSorted(byStart)) {
    const place = order.get(one.expected);
    const nowSeen = seen.before(one.startMs);
    if (one.outcome !== "ok" || one.hasMatched || place === undefined) continue;
    const replacedMs = startOf.get(place + 1) ?? Number.POSITIVE_INFINITY;
    if (nowSeen === place && replacedMs > one.endMs)
      found.push({
        what: `found no row, though register ${one.key} was ${one.expected} (session ${one.session})`,
        atMs: one.endMs,
      });
  }
  return found;
}

const byStart = (a: { startMs: number }, b: { startMs: number }): number => a.startMs - b.startMs;

/** The furthest place that anybody had been told of by a moment; asked for moments that only grow. */
class PlaceSeen {
  private readonly byEnd: readonly Sight[];
  private next = 0;
  private furthest = 0;

  constructor(sights: readonly Sight[]) {
    this.byEnd = sights.toSorted((a, b) => a.endMs - b.endMs);
  }

  before(startMs: number): number {
    for (let one = this.byEnd[this.next]; one && one.endMs < startMs; one = this.byEnd[++this.next])
      this.furthest = Math.max(this.furthest, one.place);
    return this.furthest;
  }
}
