import type { Lsn } from "../base/lsn.ts";
import {
  flagContinues,
  flagLongHeader,
  longHeaderBytes,
  pageBytes,
  pageMagics,
  parsePageHeader,
  shortHeaderBytes,
} from "./page.ts";
import { aligned, recordBytesMax, recordHeaderBytes, u32 } from "./record.ts";

const lengthBytes = 4;

/**
 * How many of `bytes`, which lie at `start`, may be handed to a walreceiver: up to a page's boundary or a record's end. PostgreSQL
 * relies on being cut nowhere else (XLogSendPhysical in walsender.c rounds what it sends so, and says why). It takes a record's header on trust where a page begins with it, and the first page of a
 * record that goes on to the next, as soon as the page's own header, or the record's, is there (XLogDecodeNextRecord in xlogreader.c);
 * what it finds there is then no record, it ends the stream, asks for it anew, and finds the same before it has come: for ever.
 *
 * `start` is such a place itself. What is no log as we know it (zeros behind a switch of segments) is given whole. The rest is less than
 * a page, and goes with what comes next.
 */
export function safeCut(start: Lsn, bytes: Buffer): number {
  const tail = Number((start + BigInt(bytes.length)) % BigInt(pageBytes));
  if (tail === 0) return bytes.length;
  const page = bytes.length - tail;
  // Where its page began is sent already.
  if (page < 0) return lastRecordEnd(bytes, { at: 0, otherwise: 0 });
  if (tail <= shortHeaderBytes) return page;
  const { magic, flags, lsnLow, remainingBytes } = parsePageHeader(bytes.subarray(page));
  const isPage =
    pageMagics.has(magic) && BigInt(lsnLow) === ((start + BigInt(page)) & 0xffff_ffffn);
  if (!isPage) return bytes.length;
  const header = (flags & flagLongHeader) !== 0 ? longHeaderBytes : shortHeaderBytes;
  const isContinued = (flags & flagContinues) !== 0;
  const first = header + (isContinued ? aligned(remainingBytes) : 0);
  if (tail <= header || first > tail) return page;
  // A page's header alone is no end of anything.
  return lastRecordEnd(bytes, { at: page + first, otherwise: isContinued ? page + first : page });
}

/** Of the records that begin at `at`, all on one page. */
function lastRecordEnd(
  bytes: Buffer,
  { at, otherwise }: { readonly at: number; readonly otherwise: number },
): number {
  let cut = otherwise;
  for (let next = at; bytes.length - next >= lengthBytes;) {
    const length = u32(bytes, next);
    if (length < recordHeaderBytes || length > recordBytesMax) return bytes.length;
    next += aligned(length);
    if (next > bytes.length) return cut;
    cut = next;
  }
  return cut;
}
