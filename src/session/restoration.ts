import {
  backend,
  encodeQuery,
  MessageScanner,
  parseParameterStatus,
  parseReportHead,
} from "../wire/index.ts";
import { blank, type Carried } from "./handover.ts";
import { unparsable } from "./client-messages.ts";
import type { Memory } from "./memory.ts";
import type { RestorePlan } from "./restore.ts";
import type { Resume } from "./resume.ts";

/** As a live session's server is heard: a parameter that is longer is not noted there, either. */
const headBytesMax = 8 * 1024;

/** What the connection is like. */
export interface Found {
  /** Of the session that had it before; undefined: nobody had. */
  readonly carried?: Carried | undefined;
  /** The first message that follows replaces or destroys the unnamed statement. */
  readonly skipsUnnamed?: boolean;
}

/** Makes the state of a session again on a new connection, up to the moment when its client's messages may follow. */
export class Restoration {
  private readonly memory: Memory;
  private readonly plan: RestorePlan;
  private readonly isUsed: boolean;
  private readonly cycleCount: number;
  private readonly codes = new Map<number, string>();
  private readonly scanner = new MessageScanner((_, totalBytes) =>
    Math.min(totalBytes, headBytesMax),
  );
  private done = 0;
  /** To be sent. */
  readonly bytes: Buffer;

  constructor(memory: Memory, { moment, isFailed }: Resume, found: Found = {}) {
    this.memory = memory;
    this.isUsed = found.carried !== undefined && found.carried !== blank;
    this.plan = memory.restore(moment, found);
    const own = isFailed ? [encodeQuery("begin"), encodeQuery(unparsable)] : [];
    this.cycleCount = this.plan.cycles.length + own.length;
    this.bytes = Buffer.concat([...this.plan.cycles.map(({ bytes }) => bytes), ...own]);
  }

  /** Gives what came behind the last answer, once that is here. */
  push(chunk: Buffer, parameters: Map<string, string>): Buffer | undefined {
    if (this.done === this.cycleCount) return chunk;
    const { scanner } = this;
    scanner.begin(chunk);
    while (scanner.next()) {
      const body = scanner.buffer.subarray(scanner.start + 5, scanner.end);
      const isWhole = scanner.end <= scanner.buffer.length;
      if (scanner.type === backend.error)
        this.codes.set(this.done, parseReportHead(body).get("C") ?? "");
      else if (scanner.type === backend.parameterStatus && isWhole) {
        const { name, value } = parseParameterStatus(body);
        parameters.set(name, value);
        this.memory.parameter(name, value);
      } else if (scanner.type === backend.readyForQuery) this.done++;
      if (this.done === this.cycleCount) return scanner.buffer.subarray(scanner.end);
    }
    return undefined;
  }

  /**
   * Another session had the connection, and something of that may be left on it, or stand in the way: what this session
   * cannot do on a new one either shows there.
   */
  get isSpoilt(): boolean {
    if (!this.isUsed) return false;
    const { cycles } = this.plan;
    return [...this.codes.keys()].some((at) => at < cycles.length && cycles[at]?.key === undefined);
  }

  /** Why the session is not what it was; undefined: it is. */
  problem(): string | undefined {
    const ofPlan = [...this.codes].filter(([index]) => index < this.plan.cycles.length);
    return this.memory.restored(this.plan, new Map(ofPlan));
  }
}
