import { realClock } from "../io/index.ts";
import { print } from "./print.ts";
import { describeProgress, formatBytes, ProgressMeter } from "./progress-meter.ts";

export interface ProgressOptions {
  /** One JSON object a line on stderr, `{"progress":{…}}`, instead of a line that is written over. */
  readonly isJson: boolean;
}

const lineEveryMs = 100;
const jsonEveryMs = 1_000;

/**
 * What a long command tells while it works: bytes, rate and time left. On a terminal one line (stderr) that is written over
 * and becomes `step: 1.1 GiB, 7.2 s` (stdout) when the step has ended; with --json a JSON line at each begin, each
 * second and each end (stderr: stdout is for the one document that the command prints); elsewhere, as in a log file, only
 * the ends.
 *
 *     const progress = new Progress({ isJson });
 *     try {
 *       progress.begin("unpacking the snapshot", totalBytes);
 *       await unpack((done) => progress.at(done));
 *       progress.end();
 *     } finally {
 *       progress.close(); // whatever went wrong is told on a line of its own
 *     }
 */
export class Progress {
  private readonly isJson: boolean;
  private current: { readonly meter: ProgressMeter; readonly beganMs: number } | undefined;
  private saidMs = 0;
  private hasHalfLine = false;

  constructor({ isJson }: ProgressOptions) {
    this.isJson = isJson;
  }

  /** A step begins; one that was under way has ended. */
  begin(step: string, totalBytes?: number): void {
    this.end();
    const nowMs = realClock.nowMs();
    this.current = { meter: new ProgressMeter(step, totalBytes, nowMs), beganMs: nowMs };
    this.say(nowMs);
  }

  /** How far it is; the total may become known, or change, on the way. May be called as often as there is something. */
  at(doneBytes: number, totalBytes?: number): void {
    const nowMs = realClock.nowMs();
    this.current?.meter.at(doneBytes, nowMs, totalBytes);
    if (nowMs - this.saidMs >= (this.isJson ? jsonEveryMs : lineEveryMs)) this.say(nowMs);
  }

  /** The step has ended well. */
  end(): void {
    const { current } = this;
    if (!current) return;
    const nowMs = realClock.nowMs();
    if (this.isJson) this.say(nowMs);
    this.close();
    const { step, doneBytes } = current.meter.facts(nowMs);
    const seconds = ((nowMs - current.beganMs) / 1000).toFixed(1);
    const bytes = doneBytes > 0 ? `${formatBytes(doneBytes)}, ` : "";
    if (!this.isJson) print(`${step}: ${bytes}${seconds} s`);
  }

  /** Nothing more comes of the step that is under way, if there is one. */
  close(): void {
    this.current = undefined;
    if (!this.hasHalfLine) return;
    this.hasHalfLine = false;
    process.stderr.write("\r\u001b[K");
  }

  private say(nowMs: number): void {
    const { current } = this;
    if (!current) return;
    this.saidMs = nowMs;
    const facts = current.meter.facts(nowMs);
    if (this.isJson) {
      process.stderr.write(`${JSON.stringify({ progress: facts })}\n`);
      return;
    }
    if (!process.stderr.isTTY) return;
    this.hasHalfLine = true;
    // A line that is longer than the terminal is wide could not be written over.
    const text = describeProgress(facts).slice(0, (process.stderr.columns || 80) - 1);
    process.stderr.write(`\r${text}\u001b[K`);
  }
}
