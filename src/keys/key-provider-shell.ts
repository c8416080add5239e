import type { VolumeId } from "../base/ids.ts";
import type { DataKeyId } from "./data-keys.ts";

/** What a wrapped key is for: it unwraps for nothing else (the encryption context of KMS). */
export interface KeyContext {
  readonly volumeId: VolumeId;
  readonly dataKey: DataKeyId;
}

export interface NewDataKey {
  readonly key: Buffer;
  /** Text of the provider's own making: names the master key that it needs. */
  readonly wrapped: string;
}

/**
 * Who holds the master key. Its verbs are those of KMS (GenerateDataKey, Decrypt, ReEncrypt, RotateKeyOnDemand), which
 * will stand beside the key file. The master key never leaves it.
 */
export interface KeyProvider {
  /** For people: a path, a key's ARN. */
  readonly name: string;
  generate(context: KeyContext): Promise<NewDataKey>;
  /** Raises 55000 for a key that was wrapped by another master key, or for something else. */
  unwrap(wrapped: string, context: KeyContext): Promise<Buffer>;
  /** The same data key, wrapped by the newest master key: for the same use, or for another (a clone's). */
  rewrap(wrapped: string, context: KeyContext, next?: KeyContext): Promise<string>;
  /** Makes a new master key, which wraps from now on; what older ones wrapped still unwraps. */
  rotateMaster(): Promise<void>;
}
