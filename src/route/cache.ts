import { LRUCache } from "lru-cache";
import { classify } from "./classify.ts";
import { isClassOfMask, maskLiterals } from "./mask.ts";
import type { Classified } from "./statement-class.ts";

export interface ClassificationCacheOptions {
  /** Bound on all that is kept, texts and classes. */
  readonly bytesMax?: number;
}

/**
 * Longer texts carry their data in them and rarely come twice. Must stay below the length from which classify() goes by
 * a text's outline: a mask does not tell how long its text was.
 */
const textCharsMax = 16 * 1024;
/** A class with its lists, and the cache's own entry: 670 bytes on average of 10,000 short texts, text included. */
const entryOverheadBytes = 1_000;
/** Most are of the texts of others, too. */
const nameBytes = 24;
const defaultBytesMax = 32 * 1024 * 1024;

/** What an audit sees whole is shorter. */
const lastCharsMax = 256 * 1024;

/** Before a mask, to keep it apart from a text: PostgreSQL's protocol ends a text at the first NUL. */
const maskPrefix = "\0";

/**
 * Remembers classes by statement text, and by the text without its literal values where those decide nothing; one per
 * process. Answers the same object for all texts of one mask. A hit by text costs 0.1 us, by mask about 1 us, a miss 25 us
 * and more (2 busy cores, everyday statements).
 */
export class ClassificationCache {
  private readonly classes: LRUCache<string, Classified>;
  /** A long text is asked for twice in a row: by the audit, and by the session. */
  private lastLong: { readonly sql: string; readonly classified: Classified } | undefined;

  constructor({ bytesMax = defaultBytesMax }: ClassificationCacheOptions = {}) {
    this.classes = new LRUCache<string, Classified>({
      maxSize: bytesMax,
      sizeCalculation: ({ statements }, key) =>
        key.length * 2 +
        entryOverheadBytes * Math.max(1, statements.length) +
        nameBytes * statements.reduce((count, { names }) => count + (names?.length ?? 0), 0),
    });
  }

  /** As classify(). */
  classify(sql: string): Classified {
    if (sql.length > textCharsMax || sql.startsWith(maskPrefix)) return this.classifyLong(sql);
    const known = this.classes.get(sql);
    if (known) return known;
    const masked = maskLiterals(sql);
    if (masked === undefined) return this.remember(sql, classify(sql));
    const maskKey = maskPrefix + masked;
    const alike = this.classes.get(maskKey);
    if (alike) return alike;
    const classified = classify(sql);
    // Kept under one key only: texts whose values differ each time would fill the cache.
    return this.remember(isClassOfMask(classified, masked) ? maskKey : sql, classified);
  }

  private classifyLong(sql: string): Classified {
    if (this.lastLong?.sql === sql) return this.lastLong.classified;
    const classified = classify(sql);
    // More is not kept for the length of a pause.
    const isKept = sql.length <= lastCharsMax && classified.isPassing !== true;
    this.lastLong = isKept ? { sql, classified } : undefined;
    return classified;
  }

  get entries(): number {
    return this.classes.size;
  }

  get sizeBytes(): number {
    return this.classes.calculatedSize;
  }

  private remember(key: string, classified: Classified): Classified {
    if (classified.isPassing !== true) this.classes.set(key, classified);
    return classified;
  }
}
