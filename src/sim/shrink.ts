import { type RunOptions, type RunReport, runSeed } from "./run.ts";

export interface Shrunk {
  /** Names of the events that are enough to break the same law, in order. */
  readonly events: readonly string[];
  /** Those of the whole run. */
  readonly schedule: readonly string[];
  readonly report: RunReport;
}

/** Messages and timers that happened up to the failure; without those that do not matter (ddmin). */
export function shrinkFailure(
  options: Omit<RunOptions, "keep" | "onEvent">,
  law: string,
  isTimeUp: () => boolean,
): Shrunk {
  const schedule: string[] = [];
  const whole = runSeed({ ...options, onEvent: (name) => schedule.push(name) });
  let best = { events: schedule, report: whole };
  // What fails only while it heals depends on how long the chaos was, and does not shrink.
  if (!whole.failure || whole.failure.step > options.steps) return { ...best, schedule };
  const failsWith = (events: readonly string[]): boolean => {
    const report = runSeed({ ...options, keep: new Set(events) });
    const isSame = report.failure?.law === law && report.failure.step <= options.steps;
    if (isSame) best = { events: [...events], report };
    return isSame;
  };
  for (let pieces = 2; best.events.length > 1 && !isTimeUp();) {
    const { events } = best;
    const size = Math.ceil(events.length / pieces);
    let hasShrunk = false;
    for (let at = 0; at < events.length && !isTimeUp(); at += size) {
      const without = [...events.slice(0, at), ...events.slice(at + size)];
      if (failsWith(without)) {
        hasShrunk = true;
        break;
      }
    }
    if (hasShrunk) pieces = Math.max(2, pieces - 1);
    else if (size === 1) break;
    else pieces = Math.min(2 * pieces, events.length);
  }
  return { ...best, schedule };
}

/** What is printed of a failure, in this order, and nothing else. */
export function failureText(shrunk: Shrunk, whole: RunReport): string {
  const { failure, seed, profile } = whole;
  if (!failure) return "";
  const said = shrunk.report.failure ?? failure;
  const lines = [
    `${said.law} ${said.message}`,
    `seed ${seed}, profile ${profile}, step ${thousands(failure.step)} of ${thousands(whole.steps)}; ` +
      `shrunk to ${shrunk.events.length} events`,
    ...shrunk.events.slice(0, 60).map((name, index) => `  ${index + 1} ${name}`),
    `reproduce: npm run sim -- --seed ${seed} --profile ${profile} --trace`,
  ];
  return lines.join("\n");
}

export function thousands(value: number): string {
  return value.toLocaleString("en-US");
}
