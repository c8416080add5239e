/**
 * Kinds of reasons for which a session keeps its server connection. The words of a reason are for people, and may name a
 * statement of theirs; its kind is a label of metrics, which nobody's text may get into.
 */
const kinds = {
  transaction: /^a transaction is open/,
  statement: /^(a statement|an answer) is under way/,
  temporary_objects: /^it has temporary objects/,
  held_cursor: /^it has a cursor WITH HOLD/,
  advisory_lock: /^it holds a session advisory lock/,
  listen: /^it listens/,
  library: /^it has loaded a library/,
  unread: /^what its last statements changed is not known/,
  sequence: /^values that it drew from a sequence/,
  settings: /^it (has|may have) (too many )?settings/,
  prepared: /^where its prepared statement|^its prepared statements/,
  code: /^functions in this database|^it has a seed/,
  wish: /^borealis\.|^it forwards writes/,
  cancel: /^a cancel request/,
  ending: /^it ends|^its server ends|^it is between two servers/,
} as const;

export type KeptKind = keyof typeof kinds | "other";

export const keptKinds = [...Object.keys(kinds), "other"] as readonly KeptKind[]; // its own keys

/** Of a reason as whyKept words it. */
export function keptKind(why: string): KeptKind {
  const kind = keptKinds.find((one) => one !== "other" && kinds[one].test(why));
  return kind ?? "other";
}
