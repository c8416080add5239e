import { volumeObject } from "./object-names.ts";
import type { ObjectStore } from "./object-store-shell.ts";
import { encodeVolumeRecord, parseVolumeRecord, type VolumeRecord } from "./volume-record.ts";

/** Who the volume of a store is. Undefined: nobody has said so yet. Raises as parseVolumeRecord does, and what the store raises. */
export async function readVolumeRecord(store: ObjectStore): Promise<VolumeRecord | undefined> {
  const bytes = await store.get(volumeObject);
  return bytes && parseVolumeRecord(bytes);
}

/** Replaces what was there, whole. Raises what the store raises. */
export async function writeVolumeRecord(store: ObjectStore, record: VolumeRecord): Promise<void> {
  await store.put(volumeObject, encodeVolumeRecord(record));
}
