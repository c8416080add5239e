import { expect } from "vitest";
import type { ProgressFacts } from "../../src/main/progress-meter.ts";

/** What a command printed with --json: one document and nothing else. */
export function documentIn(stdout: string): unknown {
  return JSON.parse(stdout);
}

/** What a command that was given --json told on stderr while it worked: a document a line, and nothing else. */
export function progressIn(stderr: string): ProgressFacts[] {
  const lines = stderr.split("\n").filter((line) => line !== "");
  return lines.map((line) => (JSON.parse(line) as { progress: ProgressFacts }).progress);
}

/** The steps of a command, each as it ended: all of its bytes were told. */
export function expectSteps(stderr: string, ...steps: readonly string[]): void {
  const told = progressIn(stderr);
  for (const step of steps) {
    const last = told.findLast((facts) => facts.step === step);
    expect(last, stderr).toMatchObject({ totalBytes: last?.doneBytes });
    expect(last?.doneBytes, step).toBeGreaterThan(0);
  }
}
