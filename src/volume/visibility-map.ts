/**
 * Which pages of visibility maps an incremental backup leaves too good. PostgreSQL clears a page's all-visible bit when the
 * page is changed, but the log's record of the change names only the page, not the map's; so summaries of the log, and the
 * incremental backups made by them, lack cleared bits. An index-only scan over such a map shows deleted rows (seen on 18.4:
 * 1,147 updated rows of 7,000,000 counted twice). A map page of zeros is always right: it says of no page that all see it.
 *
 *     REL        heap pages, 131,072 a file (REL.1 the next ones)
 *     REL_vm     after 24 bytes of head two bits a heap page: 32,672 heap pages a map page
 */
import { blockBytes } from "./incremental-file.ts";

const headBytes = 24;
const heapPagesPerMapPage = (blockBytes - headBytes) * 4;
const segmentPages = 131_072;
const heapForm = /^(.*\/\d+)(?:\.(\d+))?$/;
const mapForm = /^(.*\/\d+)_vm(?:\.(\d+))?$/;

/** Takes what an incremental backup brings, and says what it lacks. */
export class VisibilityMaps {
  /** Map pages that speak of changed heap pages, by relation. */
  private readonly touched = new Map<string, Set<number>>();
  /** Map pages that came as they are, by relation. */
  private readonly sent = new Map<string, Set<number>>();

  /** A file came whole: any of its pages may be changed. */
  noteWhole(name: string, sizeBytes: number): void {
    const pages = Math.ceil(sizeBytes / blockBytes);
    for (let page = 0; page < pages; page++) this.noteBlock(name, page);
  }

  /** A block of a file came. */
  noteBlock(name: string, block: number): void {
    const heap = placeOf(heapForm, name);
    if (heap) {
      const page = Math.floor((heap.firstPage + block) / heapPagesPerMapPage);
      return note(this.touched, heap.relation, page);
    }
    const map = placeOf(mapForm, name);
    if (map) note(this.sent, map.relation, map.firstPage + block);
  }

  /** Blocks of a file, in rising order, that have to become zeros; none for what is no map. */
  doubtfulBlocks(name: string): number[] {
    const map = placeOf(mapForm, name);
    if (!map) return [];
    const sent = this.sent.get(map.relation);
    const touched = [...(this.touched.get(map.relation) ?? [])];
    return touched
      .filter((page) => !sent?.has(page))
      .map((page) => page - map.firstPage)
      .filter((block) => block >= 0 && block < segmentPages)
      .toSorted((a, b) => a - b);
  }
}

interface Place {
  readonly relation: string;
  /** Of the file, within the fork. */
  readonly firstPage: number;
}

function placeOf(form: RegExp, name: string): Place | undefined {
  const [, relation, segment] = form.exec(name) ?? [];
  return relation === undefined
    ? undefined
    : { relation, firstPage: Number(segment ?? 0) * segmentPages };
}

function note(pages: Map<string, Set<number>>, relation: string, page: number): void {
  const known = pages.get(relation);
  if (known) known.add(page);
  else pages.set(relation, new Set([page]));
}
