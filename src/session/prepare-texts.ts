import { findPrepares, type PrepareTextsOf } from "../route/index.ts";

/**
 * The texts that a session's PREPAREs came in. The server shows the whole text for each statement that it made, with every
 * readback: one of 25 KB may have made some hundred of them. So each is parsed once, while it is shown.
 */
export class PrepareTexts {
  private readonly bytesMax: number;
  private readonly prepares = new Map<string, PrepareTextsOf>();
  private totalBytes = 0;

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax;
  }

  /**
   * The PREPARE of `name` in `sql`. `before`: of the last readback. Undefined: nobody can tell it from others, or those that are
   * shown are too long together.
   */
  find(sql: string, name: string, before: PrepareTexts): string | undefined {
    const prepares = this.prepares.get(sql) ?? this.add(sql, before);
    if (prepares === undefined || prepares === "unknown") return undefined;
    return prepares === "whole" ? sql : prepares.get(name);
  }

  private add(sql: string, before: PrepareTexts): PrepareTextsOf | undefined {
    if (this.totalBytes + sql.length > this.bytesMax) return undefined;
    const prepares = before.prepares.get(sql) ?? findPrepares(sql);
    this.totalBytes += sql.length;
    this.prepares.set(sql, prepares);
    return prepares;
  }
}
