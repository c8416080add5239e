/**
 * What a file is made of: pieces of extents, one after the other. Lengths are bytes; a piece without an extent is zeros,
 * which nobody stores.
 */
export interface Piece<Extent> {
  readonly extent: Extent | undefined;
  /** Where it begins in the extent's plain bytes. */
  readonly at: number;
  readonly lengthBytes: number;
}

export type Pieces<Extent> = readonly Piece<Extent>[];

/** Collects pieces in order; neighbours that lie side by side in one extent become one. */
export class PieceList<Extent> {
  private readonly list: Piece<Extent>[] = [];
  private total = 0;

  get pieces(): Pieces<Extent> {
    return this.list;
  }
  get lengthBytes(): number {
    return this.total;
  }

  add(piece: Piece<Extent>): void {
    if (piece.lengthBytes === 0) return;
    this.total += piece.lengthBytes;
    const last = this.list.at(-1);
    if (!last || !isNext(last, piece)) {
      this.list.push(piece);
      return;
    }
    this.list[this.list.length - 1] = {
      ...last,
      lengthBytes: last.lengthBytes + piece.lengthBytes,
    };
  }

  addZeros(lengthBytes: number): void {
    this.add({ extent: undefined, at: 0, lengthBytes });
  }

  addAll(pieces: Iterable<Piece<Extent>>): void {
    for (const piece of pieces) this.add(piece);
  }
}

function isNext<Extent>(last: Piece<Extent>, next: Piece<Extent>): boolean {
  if (last.extent !== next.extent) return false;
  return next.extent === undefined || next.at === last.at + last.lengthBytes;
}

/** Gives a file's bytes from front to back, as pieces: for laying changes over them in one pass. */
export class PieceCursor<Extent> {
  private readonly pieces: Pieces<Extent>;
  private index = 0;
  private within = 0;

  constructor(pieces: Pieces<Extent>) {
    this.pieces = pieces;
  }

  /** The next bytes; fewer at the file's end. */
  *take(lengthBytes: number): Generator<Piece<Extent>> {
    for (let rest = lengthBytes; rest > 0;) {
      const piece = this.pieces[this.index];
      if (!piece) return;
      const used = Math.min(rest, piece.lengthBytes - this.within);
      const { extent } = piece;
      yield {
        extent,
        at: extent === undefined ? 0 : piece.at + this.within,
        lengthBytes: used,
      };
      rest -= used;
      this.within += used;
      if (this.within < piece.lengthBytes) continue;
      this.index++;
      this.within = 0;
    }
  }
}

export function lengthOf<Extent>(pieces: Pieces<Extent>): number {
  return pieces.reduce((sum, piece) => sum + piece.lengthBytes, 0);
}

/** New bytes of a file, from `at` on. */
export interface Change<Extent> {
  readonly at: number;
  readonly piece: Piece<Extent>;
}

/**
 * A file after changes: `keepBytes` of what it was at most, the changes over that, zeros where there is neither (a relation
 * that was extended without writing). It is as long as the longer of `keepBytes` and the last change's end.
 */
export function layOver<Extent>(
  before: Pieces<Extent>,
  changes: readonly Change<Extent>[],
  keepBytes: number,
): Pieces<Extent> {
  const cursor = new PieceCursor(before);
  const result = new PieceList<Extent>();
  const fillTo = (end: number): void => {
    const from = result.lengthBytes;
    result.addAll(cursor.take(Math.max(0, Math.min(end, keepBytes) - from)));
    result.addZeros(Math.max(0, end - result.lengthBytes));
  };
  for (const { at, piece } of changes) {
    fillTo(at);
    result.add(piece);
    // What the change covers is left behind.
    for (const _covered of cursor.take(piece.lengthBytes));
  }
  fillTo(Math.max(keepBytes, result.lengthBytes));
  return result.pieces;
}
