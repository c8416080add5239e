import { BorealisError, sqlState } from "../base/errors.ts";
import type { NodeId, VolumeId } from "../base/ids.ts";
import { formatLsn, type Lsn } from "../base/lsn.ts";
import type { Entropy } from "../io/index.ts";
import type { DataKeyId, DataKeys } from "../keys/index.ts";
import type { FilePlace } from "./shared-log.ts";
import {
  fileKey,
  type FrameKey,
  type FrameSealer,
  nonceSource,
  openFrame,
} from "./frame-cipher.ts";
import { type FrameHeader, storedPayloadBytes } from "./frame.ts";
import { SharedKeys } from "./shared-keys.ts";

/** Keys of files that are read, at most: feeds follow the newest, those that catch up read one after the other. */
const fileKeysMax = 64;

/** What frames are encrypted with. Randomness comes from io. */
export interface CipherOptions {
  /** Undefined: a volume without encryption. */
  readonly keys: DataKeys | undefined;
  readonly entropy: Pick<Entropy, "bytes">;
}

/** A frame's data key is not known here: the volume's key ring has one that this process was not given. */
export class UnknownDataKey extends BorealisError {
  override readonly name = "UnknownDataKey";
}

interface Owner {
  readonly volumeId: VolumeId;
  readonly nodeId: NodeId;
}

/** What the key of a file's frames is made from. */
export interface CipheredFile {
  readonly sequence: number;
  readonly firstLsn: Lsn;
  /** Who wrote it; the node itself unless told. */
  readonly owner?: Owner;
}

/** Reads the frames of one node's files, and holds the current key for whoever writes them. */
export class LogCipher {
  /** For append workers. */
  readonly shared = new SharedKeys();
  private readonly owner: Owner;
  private readonly options: CipherOptions;
  private keys: DataKeys | undefined;
  /** By data key and file, most recently used last. */
  private readonly fileKeys = new Map<string, Buffer>();

  constructor(owner: Owner, options: CipherOptions) {
    this.owner = owner;
    this.options = options;
    if (options.keys) this.setKeys(options.keys);
  }

  /** A new data key, or more of them: frames from now on are encrypted with the current one. */
  setKeys(keys: DataKeys): void {
    const key = keys.keys.get(keys.current);
    const isNew = this.keys?.current !== keys.current;
    this.keys = keys;
    if (key && isNew) this.shared.set(keys.current, key);
  }

  /** For whoever writes where `placeOf` says. */
  sealerFor(placeOf: () => FilePlace): FrameSealer {
    const { owner, shared, options } = this;
    return new PlaceSealer({ owner, keys: shared, placeOf, entropy: options.entropy });
  }

  /**
   * The payload as it was written of a frame whose CRC is good; undefined: the frame is not what was written here. Raises
   * UnknownDataKey.
   */
  open(
    file: CipheredFile,
    frame: { readonly header: FrameHeader; readonly bytes: Buffer; readonly at: number },
  ): Buffer | undefined {
    const { header, bytes, at } = frame;
    const secret = this.secretFor(file, header);
    const payload = openFrame(bytes, at, storedPayloadBytes(header), secret);
    return payload && header.isZeros ? Buffer.alloc(header.lengthBytes) : payload;
  }

  /** May a frame of this volume be unencrypted? */
  get acceptsPlain(): boolean {
    return this.keys?.acceptsPlain ?? true;
  }

  private secretFor(file: CipheredFile, { keyId, lsn }: FrameHeader): Buffer {
    const { sequence, firstLsn, owner = this.owner } = file;
    const { volumeId, nodeId } = owner;
    const name = `${keyId} ${sequence} ${firstLsn} ${nodeId}`;
    const known = this.fileKeys.get(name);
    const dataKey = this.keys?.keys.get(keyId);
    if (!dataKey) throw unknownKey(keyId, lsn);
    const secret = known ?? fileKey(dataKey, { volumeId, nodeId, sequence, firstLsn });
    this.fileKeys.delete(name);
    this.fileKeys.set(name, secret);
    const oldest = this.fileKeys.keys().next();
    if (this.fileKeys.size > fileKeysMax && !oldest.done) this.fileKeys.delete(oldest.value);
    return secret;
  }
}

function unknownKey(id: DataKeyId, at: Lsn): UnknownDataKey {
  return new UnknownDataKey(
    sqlState.notInPrerequisiteState,
    `log at ${formatLsn(at)} is encrypted with data key ${id}, which this node was not given`,
    { hint: "the key ring in control/keyring.json is older than the log, or missing: restore it" },
  );
}

/** Encrypts frames for the file that the log's end lies in. Works in an append worker, too. */
export class PlaceSealer implements FrameSealer {
  private readonly options: PlaceSealerOptions;
  private readonly nextNonce: () => Buffer;
  private known: { changes: number; place: FilePlace; key: FrameKey } | undefined;

  constructor(options: PlaceSealerOptions) {
    this.options = options;
    this.nextNonce = nonceSource(options.entropy);
  }

  current(): FrameKey | undefined {
    const { keys, owner, placeOf } = this.options;
    const { changes } = keys;
    if (changes === 0) return undefined;
    const place = placeOf();
    const { known } = this;
    if (known?.changes === changes && isSameFile(known.place, place)) return known.key;
    const data = keys.read();
    if (!data) return undefined;
    const { sequence, firstLsn } = place;
    const secret = fileKey(data.key, { ...owner, sequence, firstLsn });
    const key = { id: data.id, secret, nextNonce: this.nextNonce };
    this.known = { changes, place, key };
    return key;
  }
}

function isSameFile(a: FilePlace, b: FilePlace): boolean {
  return a.sequence === b.sequence && a.firstLsn === b.firstLsn;
}

export interface PlaceSealerOptions {
  readonly owner: Owner;
  readonly keys: SharedKeys;
  readonly placeOf: () => FilePlace;
  readonly entropy: Pick<Entropy, "bytes">;
}
