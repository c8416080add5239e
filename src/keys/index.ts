/**
 * Who may read the volume: data keys, the ring that keeps them wrapped beside the volume, and the provider that wraps
 * and unwraps them. Start with key-provider-shell.ts (the interface, shaped as KMS is), then key-ring.ts. A room of its own,
 * since storage nodes need its types long before the volume room exists, and nothing else of that room.
 */
export {
  dataKeyBytes,
  type DataKeyId,
  type DataKeys,
  type DataKeysMessage,
  encodeDataKeys,
  parseDataKeys,
} from "./data-keys.ts";
export { type KeyFileDeps, KeyFileProvider } from "./key-file-shell.ts";
export type { KeyContext, KeyProvider, NewDataKey } from "./key-provider-shell.ts";
export { encodeKeyRing, type KeyRing, newestRing, parseKeyRing, type RingKey } from "./key-ring.ts";
export {
  createKeyRing,
  inheritKeyRing,
  openKeyRing,
  rotateDataKey,
  rotateMasterKey,
} from "./key-ring-shell.ts";
