import type { VolumeId } from "../base/ids.ts";
import type { DataKeys } from "./data-keys.ts";
import type { KeyProvider } from "./key-provider-shell.ts";
import { type KeyRing, nextKeyId, withNewKey, withWrapped } from "./key-ring.ts";

/** The first ring of a volume. */
export async function createKeyRing(
  provider: KeyProvider,
  birth: { readonly volumeId: VolumeId; readonly createdAt: string },
): Promise<KeyRing> {
  const { volumeId, createdAt } = birth;
  const { wrapped } = await provider.generate({ volumeId, dataKey: 1 });
  const keys = [{ id: 1, createdAt, wrapped }];
  return { version: 1, volumeId, current: 1, acceptsPlain: false, keys };
}

/** Every data key of the ring, unwrapped. Raises what the provider raises. */
export async function openKeyRing(provider: KeyProvider, ring: KeyRing): Promise<DataKeys> {
  const { volumeId, current, acceptsPlain } = ring;
  const keys = new Map<number, Buffer>();
  for (const { id, wrapped } of ring.keys) {
    keys.set(id, await provider.unwrap(wrapped, { volumeId, dataKey: id }));
  }
  return { current, keys, acceptsPlain };
}

/** The ring with a new current data key. */
export async function rotateDataKey(
  provider: KeyProvider,
  ring: KeyRing,
  createdAt: string,
): Promise<KeyRing> {
  const id = nextKeyId(ring);
  const { wrapped } = await provider.generate({ volumeId: ring.volumeId, dataKey: id });
  return withNewKey(ring, { id, createdAt, wrapped });
}

/** The ring with all of its keys wrapped by a new master key. */
export async function rotateMasterKey(provider: KeyProvider, ring: KeyRing): Promise<KeyRing> {
  const { volumeId } = ring;
  await provider.rotateMaster();
  const wrapped = new Map<number, string>();
  for (const key of ring.keys) {
    wrapped.set(key.id, await provider.rewrap(key.wrapped, { volumeId, dataKey: key.id }));
  }
  return withWrapped(ring, wrapped);
}

/** The ring of a clone: the same data keys, wrapped for the clone's volume. The provider has the parent's master key. */
export async function inheritKeyRing(
  provider: KeyProvider,
  parent: KeyRing,
  clone: VolumeId,
): Promise<KeyRing> {
  const keys = [];
  for (const key of parent.keys) {
    const before = { volumeId: parent.volumeId, dataKey: key.id };
    const wrapped = await provider.rewrap(key.wrapped, before, { ...before, volumeId: clone });
    keys.push({ ...key, wrapped });
  }
  return { ...parent, version: 1, volumeId: clone, keys };
}
