/** How long somebody is waited for who may show that he gets on: `timeoutMs` from the last sign on that was another one. Pure. */
export class Patience {
  private readonly timeoutMs: number;
  private sinceMs: number;
  private sign: string | undefined;

  constructor(timeoutMs: number, nowMs: number) {
    this.timeoutMs = timeoutMs;
    this.sinceMs = nowMs;
  }

  /** `sign`: how far he is; undefined: there is none to see. */
  isOver(nowMs: number, sign: string | undefined): boolean {
    if (sign !== undefined && sign !== this.sign) {
      this.sign = sign;
      this.sinceMs = nowMs;
    }
    return nowMs - this.sinceMs > this.timeoutMs;
  }
}
