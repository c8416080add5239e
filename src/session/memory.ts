import type { SessionBook } from "./session-book.ts";

/** What a session has beyond its transaction: what making it again needs. */
export type Memory = Pick<
  SessionBook,
  | "parseSent"
  | "closeSent"
  | "querySent"
  | "runSent"
  | "answeredStep"
  | "failedStep"
  | "ready"
  | "failedAndLost"
  | "parameter"
  | "needsReadback"
  | "askReadback"
  | "readbackAnswered"
  | "preparedText"
  | "customValue"
  | "isKnown"
  | "settingValue"
  | "connectionLost"
  | "obstacle"
  | "restore"
  | "restored"
  | "drawSent"
  | "keeps"
  | "carried"
  | "hasCustom"
  | "hasSettingsOfOthers"
  | "existingNames"
  | "prepared"
  | "moved"
>;
