import { createCipheriv, createDecipheriv, createHmac } from "node:crypto";
import { crc32c } from "../base/crc32c.ts";
import { BorealisError, sqlState } from "../base/errors.ts";
import type { VolumeId } from "../base/ids.ts";
import { type Entropy, realEntropy } from "../io/index.ts";
import type { DataKeyId, DataKeys } from "../keys/index.ts";
import { bestCompression, type Compression } from "./compression-shell.ts";
import {
  type Codec,
  damagedObject,
  encodeObjectHeader,
  extentBytesMax,
  mendedHeaders,
  nonceBytes,
  type ObjectHeader,
  objectHeaderBytes,
  parseObjectHeader,
  sumBytes,
  tagBytes,
} from "./extent-format.ts";
import { extentObject, snapshotObject } from "./object-names.ts";

export interface SealerKeys {
  /** The volume whose extents these are; a clone without encryption gives its oldest ancestor's, and so shares extents. */
  readonly volumeId: VolumeId;
  /** Undefined: the volume is not encrypted. */
  readonly keys: DataKeys | undefined;
  /** For tests. */
  readonly entropy?: Pick<Entropy, "bytes">;
  readonly compression?: Compression;
}

interface Unsealed {
  readonly header: ObjectHeader;
  readonly body: Buffer;
}

/** Manifests of volumes of some TiB. */
const manifestBytesMax = 512 * 1024 * 1024;
const algorithm = "aes-256-gcm";
const labels = {
  address: "borealis address key 1\0",
  object: "borealis extent key 1\0",
  check: "borealis addressing 1\0",
};

/**
 * What extents are called, and how they and manifests are stored:
 *
 *     first data key ── HMAC ──▶ address key ── HMAC over the plain bytes ──▶ extent's id
 *     data key       ── HMAC ──▶ object key  ── AES-256-GCM ──▶ the object; its header says which data key
 *
 * The address key stays when data keys are rotated, so what was stored before is found again; a clone has its parent's
 * first data key, and so its parent's extents. Nobody without the key can tell whether a volume holds some bytes.
 */
export class ExtentSealer {
  /** Names the address key: extents of two snapshots can be shared if this is the same. */
  readonly addressing: string;
  private readonly keys: DataKeys | undefined;
  private readonly entropy: Pick<Entropy, "bytes">;
  private readonly compression: Compression;
  private readonly addressKey: Buffer;
  /** Of extents from before the volume was encrypted. */
  private readonly plainAddressKey: Buffer;
  private readonly objectKeys = new Map<DataKeyId, Buffer>();

  constructor({ volumeId, keys, entropy, compression }: SealerKeys) {
    this.keys = keys;
    this.entropy = entropy ?? realEntropy;
    this.compression = compression ?? bestCompression();
    this.plainAddressKey = derived(Buffer.from(volumeId), labels.address);
    const first = keys && keys.keys.get(Math.min(...keys.keys.keys()));
    this.addressKey = first ? derived(first, labels.address) : this.plainAddressKey;
    this.addressing = derived(this.addressKey, labels.check).toString("hex").slice(0, 16);
  }

  /** The id of an extent of these bytes: 64 hex digits. */
  readonly idOf = (plain: Uint8Array): string => hash(this.addressKey, plain);

  sealExtent(id: string, plain: Uint8Array): Promise<Buffer> {
    return this.seal(extentObject(id), plain);
  }

  /**
   * The plain bytes of an extent. Raises BorealisError XX001 unless it is exactly what was sealed under this id (or the key
   * is not the one that it was sealed with), 55000 if its data key is not here, 0A000 for a format of the future.
   */
  async openExtent(id: string, sealed: Buffer): Promise<Buffer> {
    const name = extentObject(id);
    const { plain, isEncrypted } = await this.open(name, sealed, extentBytesMax);
    const key = isEncrypted ? this.addressKey : this.plainAddressKey;
    if (hash(key, plain) !== id)
      throw damagedObject(name, "its content is not what it is named by");
    return plain;
  }

  sealManifest(snapshot: string, plain: Uint8Array): Promise<Buffer> {
    return this.seal(snapshotObject(snapshot), plain);
  }

  /** As openExtent; the plain bytes are for parseManifest. */
  async openManifest(snapshot: string, sealed: Buffer): Promise<Buffer> {
    const { plain } = await this.open(snapshotObject(snapshot), sealed, manifestBytesMax);
    return plain;
  }

  /** Any object, bound to its name. */
  async seal(name: string, plain: Uint8Array): Promise<Buffer> {
    const packed = await this.compression.pack(plain);
    const isSmaller = packed.length < plain.length;
    const body = isSmaller ? packed : plain;
    const codec: Codec = isSmaller ? this.compression.codec : "none";
    const facts = { codec, plainBytes: plain.length, storedBytes: body.length };
    const { keys } = this;
    if (!keys) {
      const header = encodeObjectHeader({ ...facts, keyId: 0, nonce: Buffer.alloc(nonceBytes) });
      const sum = Buffer.alloc(sumBytes);
      sum.writeUInt32BE(sumOf(name, header, body));
      return Buffer.concat([header, body, sum]);
    }
    const nonce = this.entropy.bytes(nonceBytes);
    const header = encodeObjectHeader({ ...facts, keyId: keys.current, nonce });
    const cipher = createCipheriv(algorithm, this.objectKey(keys.current, name), nonce);
    cipher.setAAD(Buffer.concat([header, Buffer.from(name)]));
    return Buffer.concat([header, cipher.update(body), cipher.final(), cipher.getAuthTag()]);
  }

  /** What was sealed under this name; raises as openExtent does, and XX001 for more than `plainBytesMax`. */
  async open(
    name: string,
    sealed: Buffer,
    plainBytesMax: number,
  ): Promise<{ plain: Buffer; isEncrypted: boolean }> {
    const { header, body } = this.unseal(name, sealed, plainBytesMax);
    const plain = await this.compression.unpack(header.codec, body, header.plainBytes);
    if (!plain) throw damagedObject(name, "what is inside does not unpack");
    return { plain, isEncrypted: header.keyId !== 0 };
  }

  /** What is compressed inside, once it is known to be what was sealed. */
  private unseal(name: string, sealed: Buffer, plainBytesMax: number): Unsealed {
    try {
      return this.unsealAsItIs(name, sealed, plainBytesMax);
    } catch (error) {
      if (!(error instanceof BorealisError) || error.code === sqlState.dataCorrupted) throw error;
      // A format of the future, or a key that is not here; or one of ours, whose header has rotted into that.
      for (const mended of mendedHeaders(sealed, this.keys?.keys.keys() ?? []))
        if (this.isSound(name, mended, plainBytesMax))
          throw damagedObject(name, "its header is not what was written");
      throw error;
    }
  }

  private isSound(name: string, sealed: Buffer, plainBytesMax: number): boolean {
    try {
      this.unsealAsItIs(name, sealed, plainBytesMax);
      return true;
    } catch (error) {
      if (error instanceof BorealisError) return false;
      throw error;
    }
  }

  private unsealAsItIs(name: string, sealed: Buffer, plainBytesMax: number): Unsealed {
    const header = parseObjectHeader(sealed, { name, plainBytesMax });
    const body =
      header.keyId === 0
        ? this.checkPlain(name, sealed, header)
        : this.decrypt(name, sealed, header);
    return { header, body };
  }

  private decrypt(name: string, sealed: Buffer, header: ObjectHeader): Buffer {
    const head = sealed.subarray(0, objectHeaderBytes);
    const key = this.objectKey(header.keyId, name);
    const decipher = createDecipheriv(algorithm, key, header.nonce);
    decipher.setAAD(Buffer.concat([head, Buffer.from(name)]));
    decipher.setAuthTag(sealed.subarray(sealed.length - tagBytes));
    const body = decipher.update(sealed.subarray(objectHeaderBytes, sealed.length - tagBytes));
    try {
      decipher.final();
    } catch {
      throw damagedObject(name, "it is not what was encrypted, or this is not its key");
    }
    return body;
  }

  private checkPlain(name: string, sealed: Buffer, { storedBytes }: ObjectHeader): Buffer {
    // Who can write to a store must not make an encrypted volume believe what has no tag.
    if (this.keys && !this.keys.acceptsPlain)
      throw damagedObject(name, "it is not encrypted, as the volume is");
    const body = sealed.subarray(objectHeaderBytes, objectHeaderBytes + storedBytes);
    const sum = sumOf(name, sealed.subarray(0, objectHeaderBytes), body);
    if (sealed.readUInt32BE(sealed.length - sumBytes) !== sum)
      throw damagedObject(name, "its checksum does not fit");
    return body;
  }

  private objectKey(id: DataKeyId, name: string): Buffer {
    const known = this.objectKeys.get(id);
    if (known) return known;
    const dataKey = this.keys?.keys.get(id);
    if (!dataKey) {
      throw new BorealisError(
        sqlState.notInPrerequisiteState,
        `the object ${name} is encrypted with data key ${id}, which is not here`,
        { hint: "use the newest key ring of the volume: control/keyring.json, or volume.json" },
      );
    }
    const key = derived(dataKey, labels.object);
    this.objectKeys.set(id, key);
    return key;
  }
}

function derived(key: Buffer, label: string): Buffer {
  return createHmac("sha256", key).update(label).digest();
}

function hash(key: Buffer, plain: Uint8Array): string {
  return createHmac("sha256", key).update(plain).digest("hex");
}

function sumOf(name: string, header: Buffer, body: Uint8Array): number {
  return crc32c(body, crc32c(header, crc32c(Buffer.from(name))));
}
