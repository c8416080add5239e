import type { RpcPeer } from "../io/index.ts";

/** What each peer has said last; it counts as long as its line. */
export class ByPeer<T> {
  private readonly told = new Map<RpcPeer, T>();

  take(peer: RpcPeer, said: T): void {
    const leave = (): void => void this.told.delete(peer);
    if (!this.told.has(peer)) peer.signal.addEventListener("abort", leave, { once: true });
    this.told.set(peer, said);
  }

  of(peer: RpcPeer): T | undefined {
    return this.told.get(peer);
  }

  get peers(): readonly RpcPeer[] {
    return [...this.told.keys()];
  }

  get all(): readonly T[] {
    return [...this.told.values()];
  }
}
