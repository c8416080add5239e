import type { Lsn } from "../base/lsn.ts";
import type { HydrationFigures, HydrationProgress, OsUser } from "../engine/index.ts";
import type { LinkOwner, NodeEndpoint } from "../log-driver/index.ts";
import type { LogPath, SnapshotWish } from "../volume/index.ts";

/** What an agent gives to the thread that hydrates, and what that tells. Between threads of one process only. */
export interface HydrationOrder {
  readonly objectStoreUrl: string;
  readonly objectStoreEnv: Readonly<Record<string, string>>;
  /** Full members, nearest first; they are asked before the object store. */
  readonly nodes: readonly NodeEndpoint[];
  readonly owner: LinkOwner;
  /** Whose extents these are: of a clone, its oldest ancestor. */
  readonly addressVolumeId: string;
  /** As keys/ writes them; null: the volume is not encrypted. */
  readonly dataKeys: unknown;
  readonly instanceDir: string;
  readonly osUser: OsUser | undefined;
  readonly wish: SnapshotWish;
  /** Where replay will end, as far as is known. */
  readonly end: Lsn;
  /** A snapshot with more log to replay is told, and not used. */
  readonly replayBytesMax: number;
}

export interface FoundSnapshot {
  readonly snapshot: string;
  readonly startLsn: Lsn;
  readonly endLsn: Lsn;
  /** The path that its bytes are of. */
  readonly history: LogPath;
  readonly replayBytes: number;
}

export type FromHydration =
  | ({ readonly kind: "progress" } & HydrationProgress)
  | {
      readonly kind: "skipped";
      readonly snapshot: string;
      /** What of it is good in no store; null: not known, or told already. */
      readonly object: string | null;
      readonly reason: string;
    }
  | {
      readonly kind: "healed";
      readonly store: string;
      readonly name: string;
      readonly reason: string;
    }
  | {
      readonly kind: "failed";
      readonly code: string;
      readonly message: string;
      readonly hint: string | null;
    }
  | HydrationResult;

export type HydrationResult =
  | ({ readonly kind: "done"; readonly figures: HydrationFigures } & FoundSnapshot)
  /** There is one, with more log behind it than was asked for. */
  | ({ readonly kind: "far" } & FoundSnapshot)
  | { readonly kind: "none" };
