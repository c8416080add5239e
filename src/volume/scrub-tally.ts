/** What a scrub of objects has found in one store. */
export interface ScrubFigures {
  /** Objects that were looked for there, and the bytes of those that were read. */
  readonly checked: number;
  readonly checkedBytes: number;
  /** Copies that were damaged or missing, and are good again; and those that are not. */
  readonly healed: number;
  readonly unhealed: number;
  /** Why something was not checked or not healed, for people; null: nothing is left to be wished for. */
  readonly problem: string | null;
}

/** An object of which no store has a good copy, and the snapshots that cannot be read whole any more. */
export interface LostObject {
  readonly name: string;
  /** Their ids. */
  readonly snapshots: readonly string[];
}

interface Counts {
  checked: number;
  checkedBytes: number;
  healed: number;
  unhealed: number;
  unread: number;
  /** Of the first that was not read, and of the first that was not healed. */
  unreadWhy: string | undefined;
  unhealedWhy: string | undefined;
}

/** Counts what a scrub finds, by store. */
export class ScrubTally<Store> {
  private readonly byStore = new Map<Store, Counts>();
  private readonly lostByName = new Map<string, LostObject>();
  private toComeBytes: number | undefined;

  /** In the order in which they were found. */
  get lost(): readonly LostObject[] {
    return [...this.lostByName.values()];
  }

  /** Stores that anything is known of. */
  get stores(): Store[] {
    return [...this.byStore.keys()];
  }

  /** Bytes that were read so far, and that will have been in the end; null: not known yet. */
  get progress(): { readonly doneBytes: number; readonly totalBytes: number | null } {
    const { toComeBytes } = this;
    const doneBytes = [...this.byStore.values()].reduce((sum, one) => sum + one.checkedBytes, 0);
    // What is not counted before it is read (manifests) may make it more.
    return {
      doneBytes,
      totalBytes: toComeBytes === undefined ? null : Math.max(toComeBytes, doneBytes),
    };
  }

  /** So many bytes more are going to be read. */
  noteToCome(bytes: number): void {
    this.toComeBytes = (this.toComeBytes ?? 0) + bytes;
  }

  /** A copy was looked at; one that is missing has no bytes. */
  noteChecked(store: Store, bytes: number): void {
    const counts = this.of(store);
    counts.checked++;
    counts.checkedBytes += bytes;
  }

  /** A copy could not be judged. */
  noteUnread(store: Store, why: string): void {
    const counts = this.of(store);
    counts.unread++;
    counts.unreadWhy ??= why;
  }

  noteHealed(store: Store): void {
    this.of(store).healed++;
  }

  noteUnhealed(store: Store, why: string): void {
    const counts = this.of(store);
    counts.unhealed++;
    counts.unhealedWhy ??= why;
  }

  /** True if it was not known yet. */
  noteLost(object: LostObject): boolean {
    const isNew = !this.lostByName.has(object.name);
    this.lostByName.set(object.name, object);
    return isNew;
  }

  figuresOf(store: Store): ScrubFigures {
    const { checked, checkedBytes, healed, unhealed, ...rest } = this.of(store);
    const { unread, unreadWhy, unhealedWhy } = rest;
    const notRead = unread > 0 ? `${unread} objects were not read: ${unreadWhy}` : null;
    return { checked, checkedBytes, healed, unhealed, problem: unhealedWhy ?? notRead };
  }

  private of(store: Store): Counts {
    const known = this.byStore.get(store);
    if (known) return known;
    const fresh: Counts = {
      checked: 0,
      checkedBytes: 0,
      healed: 0,
      unhealed: 0,
      unread: 0,
      unreadWhy: undefined,
      unhealedWhy: undefined,
    };
    this.byStore.set(store, fresh);
    return fresh;
  }
}

const namedMax = 5;

/** For people: what is lost, and which snapshots are hurt by it. Undefined: nothing is. */
export function describeLost(lost: readonly LostObject[]): string | undefined {
  const [first] = lost;
  if (!first) return undefined;
  const hurt = [...new Set(lost.flatMap(({ snapshots }) => snapshots))].toSorted();
  const named = hurt.slice(0, namedMax).join(", ");
  const more = hurt.length > namedMax ? ` and ${hurt.length - namedMax} more` : "";
  const others = lost.length > 1 ? ` (nor of ${lost.length - 1} more)` : "";
  const whose = hurt.length === 1 ? `snapshot ${named} is` : `snapshots ${named}${more} are`;
  return `no store has a good copy of ${first.name}${others}: ${whose} hurt`;
}
