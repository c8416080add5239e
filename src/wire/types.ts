/** First bytes of messages that a client sends. */
export const frontend = {
  bind: 0x42, // B
  close: 0x43, // C
  copyData: 0x64, // d
  copyDone: 0x63, // c
  copyFail: 0x66, // f
  describe: 0x44, // D
  execute: 0x45, // E
  flush: 0x48, // H
  functionCall: 0x46, // F
  parse: 0x50, // P
  password: 0x70, // p: passwords and SASL responses
  query: 0x51, // Q
  sync: 0x53, // S
  terminate: 0x58, // X
} as const;

/** First bytes of messages that a server sends. */
export const backend = {
  authentication: 0x52, // R
  backendKeyData: 0x4b, // K
  bindComplete: 0x32, // 2
  closeComplete: 0x33, // 3
  commandComplete: 0x43, // C
  copyBoth: 0x57, // W
  copyData: 0x64, // d
  copyDone: 0x63, // c
  copyIn: 0x47, // G
  copyOut: 0x48, // H
  dataRow: 0x44, // D
  emptyQuery: 0x49, // I
  error: 0x45, // E
  functionResult: 0x56, // V
  negotiateVersion: 0x76, // v
  noData: 0x6e, // n
  notice: 0x4e, // N
  notification: 0x41, // A
  parameterDescription: 0x74, // t
  parameterStatus: 0x53, // S
  parseComplete: 0x31, // 1
  portalSuspended: 0x73, // s
  readyForQuery: 0x5a, // Z
  rowDescription: 0x54, // T
} as const;

/** What ReadyForQuery says. */
export const transactionState = {
  idle: 0x49, // I
  open: 0x54, // T
  failed: 0x45, // E
} as const;

/** As PostgreSQL limits them (protocol.h): these carry data, the rest is small. */
const largeFrontendTypes = new Set<number>([
  frontend.query,
  frontend.parse,
  frontend.bind,
  frontend.functionCall,
  frontend.copyData,
]);
const smallFrontendTypes = new Set<number>([
  frontend.close,
  frontend.copyDone,
  frontend.copyFail,
  frontend.describe,
  frontend.execute,
  frontend.flush,
  frontend.sync,
  frontend.terminate,
]);

/** Longest length word that PostgreSQL takes for a message of this type; undefined: no such message. */
export function frontendLengthMax(type: number): number | undefined {
  if (largeFrontendTypes.has(type)) return 0x3fff_ffff;
  return smallFrontendTypes.has(type) ? 10_000 : undefined;
}
