import type { BodyCodec } from "./codec-bodies.ts";
import {
  readCount,
  readHistory,
  readUuid,
  writeCount,
  writeHistory,
  writeUuid,
} from "./codec-fields.ts";
import type { MessageOf } from "./messages.ts";

type ScrubKind = "digest" | "digestData" | "scrub" | "scrubProgress" | "scrubReport";

/** What a scrub says, to peers and to who asked for it. */
export const scrubBodies: { readonly [K in ScrubKind]: BodyCodec<MessageOf<K>> } = {
  digest: {
    type: 35,
    encode(w, m) {
      writeHistory(w, m.path);
      w.u64(m.from).u64(m.to);
    },
    decode: (r) => ({ kind: "digest", path: readHistory(r), from: r.lsn(), to: r.lsn() }),
  },
  digestData: {
    type: 36,
    encode(w, m) {
      w.u64(m.from).u64(m.to);
      writeUuid(w, m.hash);
    },
    decode: (r) => ({ kind: "digestData", from: r.lsn(), to: r.lsn(), hash: readUuid(r) }),
  },
  scrub: { type: 37, encode: () => undefined, decode: () => ({ kind: "scrub" }) },
  scrubReport: {
    type: 38,
    encode(w, m) {
      for (const count of [m.checkedBytes, m.healed, m.unhealed, m.compared]) writeCount(w, count);
    },
    decode: (r) => ({
      kind: "scrubReport",
      checkedBytes: readCount(r),
      healed: readCount(r),
      unhealed: readCount(r),
      compared: readCount(r),
    }),
  },
  scrubProgress: {
    type: 39,
    encode(w, m) {
      writeCount(w, m.checkedBytes);
      writeCount(w, m.totalBytes);
    },
    decode: (r) => ({
      kind: "scrubProgress",
      checkedBytes: readCount(r),
      totalBytes: readCount(r),
    }),
  },
};
