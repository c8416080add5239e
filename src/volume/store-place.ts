import type { S3Place } from "./s3-location.ts";

/** Where the objects of a volume lie, however the URL of their store is written and whoever asks it. */
export type StorePlace =
  | {
      readonly kind: "folder";
      /** Of the volume's own folder, without symbolic links. */
      readonly path: string;
    }
  | ({ readonly kind: "bucket" } & S3Place);

/** Whether what is put, deleted or collected in the one of one volume's stores is so in the other. */
export function isSamePlace(one: StorePlace, other: StorePlace): boolean {
  if (one.kind === "folder") return other.kind === "folder" && one.path === other.path;
  if (other.kind === "folder") return false;
  return (
    one.service === other.service && one.bucket === other.bucket && one.prefix === other.prefix
  );
}
