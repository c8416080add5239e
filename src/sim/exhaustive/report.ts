import type { ExhaustReport } from "./exhaust.ts";

const format = (count: number): string => count.toLocaleString("en-US");

/** For people: one line of figures, then the trace of a violation. */
export function formatReport(name: string, report: ExhaustReport): string {
  const { states, transitions, depth, ended, elapsedMs, violation } = report;
  const perSecond = format(Math.round((transitions / Math.max(elapsedMs, 1)) * 1000));
  const size = `${format(states)} states, ${format(transitions)} transitions, depth ${depth}`;
  const head = `${name}: ${ended}, ${size}, ${(elapsedMs / 1000).toFixed(1)} s (${perSecond}/s)`;
  if (!violation) return head;
  const steps = violation.trace.map((line, index) => `  ${String(index + 1).padStart(2)} ${line}`);
  return [head, violation.law, ...steps].join("\n");
}
