/**
 * Stands between the storage nodes of a running cluster and whoever talks to them: each node's socket is moved aside, and
 * this process listens in its place. Links are then cut, stalled (one way or both), or slowed, by name, with nothing in the
 * product that knows of it.
 */
import { readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { createConnection, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";

/** `deaf`: what the node hears; `mute`: what it says. */
export type LinkFault =
  | { readonly kind: "pass" }
  | { readonly kind: "cut" }
  | { readonly kind: "stall"; readonly way: "both" | "deaf" | "mute" }
  | { readonly kind: "delay"; readonly ms: number };

const pass: LinkFault = { kind: "pass" };
const behind = ".behind";
/** A node that was restarted listens in its place again; it is found within this. */
const lookEveryMs = 100;

interface Place {
  readonly server: Server;
  readonly inode: number;
}

export class LinkShim {
  private readonly dir: string;
  private readonly places = new Map<string, Place>();
  private readonly faults = new Map<string, LinkFault>();
  private readonly pipes = new Map<string, Set<Pipe>>();
  private timer: NodeJS.Timeout | undefined;
  /** Bytes that went through, so that a test can see that it stands in the way at all. */
  bytes = 0;

  /** `dir`: where the sockets `node-NAME.sock` lie. */
  constructor(dir: string) {
    this.dir = dir;
  }

  async insert(): Promise<void> {
    await this.look();
    const again = (): void => {
      this.timer = setTimeout(() => void this.look().finally(again), lookEveryMs);
    };
    again();
  }

  get names(): string[] {
    return [...this.places.keys()].toSorted();
  }

  set(name: string, fault: LinkFault): void {
    this.faults.set(name, fault);
    for (const pipe of this.pipes.get(name) ?? []) pipe.take(fault);
  }

  heal(): void {
    for (const name of this.faults.keys()) this.set(name, pass);
  }

  /** Ends every link through here and gives the sockets their places back. */
  remove(): void {
    clearTimeout(this.timer);
    for (const [name, { server }] of this.places) {
      const path = join(this.dir, name);
      server.close();
      try {
        renameSync(path + behind, path);
      } catch {
        // The node is down, or has listened anew.
      }
    }
    for (const pipes of this.pipes.values()) for (const pipe of pipes) pipe.destroy();
    for (const name of readdirSync(this.dir))
      if (name.endsWith(behind)) rmSync(join(this.dir, name));
  }

  private async look(): Promise<void> {
    const found = readdirSync(this.dir).filter((name) => /^node-.*\.sock$/.test(name));
    for (const name of found) {
      const path = join(this.dir, name);
      try {
        const { ino } = statSync(path);
        const place = this.places.get(name);
        if (place?.inode === ino) continue;
        renameSync(path, path + behind);
        // Closing a server removes the name that it once listened on: before the new one takes it.
        place?.server.close();
        await this.listen(name, path);
      } catch {
        // It went away while it was looked at: next time.
      }
    }
  }

  private async listen(name: string, path: string): Promise<void> {
    const server = createServer({ allowHalfOpen: true }, (socket) =>
      this.accept(name, path, socket),
    );
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(path, resolve);
    });
    this.places.set(name, { server, inode: statSync(path).ino });
  }

  private accept(name: string, path: string, client: Socket): void {
    const fault = this.faults.get(name) ?? pass;
    const node = createConnection({ path: path + behind, allowHalfOpen: true });
    const pipe = new Pipe(client, node, (count) => (this.bytes += count));
    const pipes = this.pipes.get(name) ?? new Set();
    this.pipes.set(name, pipes.add(pipe));
    pipe.onEnd(() => pipes.delete(pipe));
    pipe.take(fault);
  }
}

/** One connection in two halves. */
class Pipe {
  private readonly client: Socket;
  private readonly node: Socket;
  private fault: LinkFault = pass;
  private readonly ends: (() => void)[] = [];

  constructor(client: Socket, node: Socket, count: (bytes: number) => void) {
    this.client = client;
    this.node = node;
    const join = (from: Socket, to: Socket): void => {
      from.on("data", (chunk: Buffer) => {
        count(chunk.length);
        this.send(to, () => to.write(chunk));
      });
      from.on("end", () => this.send(to, () => to.end()));
      from.on("error", () => this.destroy());
      from.on("close", () => this.destroy());
    };
    join(client, node);
    join(node, client);
  }

  onEnd(handler: () => void): void {
    this.ends.push(handler);
  }

  take(fault: LinkFault): void {
    this.fault = fault;
    if (fault.kind === "cut") return this.destroy();
    const way = fault.kind === "stall" ? fault.way : undefined;
    if (way === "both" || way === "deaf") this.client.pause();
    else this.client.resume();
    if (way === "both" || way === "mute") this.node.pause();
    else this.node.resume();
  }

  destroy(): void {
    this.client.destroy();
    this.node.destroy();
    for (const end of this.ends.splice(0)) end();
  }

  private send(to: Socket, act: () => void): void {
    const { fault } = this;
    if (fault.kind !== "delay") return act();
    setTimeout(() => {
      if (!to.destroyed) act();
    }, fault.ms);
  }
}
