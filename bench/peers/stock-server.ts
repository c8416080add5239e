/** A stock server that is stopped and started again and again on its place. */
import { rmSync } from "node:fs";
import { type Child, runToEnd } from "../child.ts";
import type { Ground } from "../contender.ts";
import type { Target } from "../pgbench.ts";
import { fillForProbes } from "../probe.ts";
import { initData, launchAt, makePlace, type ServerPlace, untilAnswering } from "./postgres.ts";

export class StockServer {
  readonly place: ServerPlace;
  private readonly ground: Ground;
  private running: Child | undefined;
  /** While it is to run. */
  private expected: Child | undefined;

  private constructor(ground: Ground, place: ServerPlace) {
    this.ground = ground;
    this.place = place;
  }

  /** A place for one; no data yet, nothing runs. */
  static async place(ground: Ground, name: string): Promise<StockServer> {
    const server = new StockServer(ground, await makePlace(ground, name));
    ground.cleanup.add(name, () => server.stop());
    return server;
  }

  /** One that has new, empty data. It does not run. */
  static async create(ground: Ground, name: string): Promise<StockServer> {
    const server = await StockServer.place(ground, name);
    await initData(ground, server.place.data);
    return server;
  }

  get target(): Target {
    return { host: "127.0.0.1", port: this.place.port, user: "postgres" };
  }

  /** Starts it with these settings (name=value) beside those that all have; waits for nothing. */
  launch(extra: readonly string[] = []): Child {
    const { server } = launchAt(this.ground, this.place, extra);
    this.running = server;
    this.expected = server;
    return server;
  }

  /** Returns when it answers. */
  async start(extra: readonly string[] = []): Promise<void> {
    await untilAnswering(this.ground, this.target, this.launch(extra));
  }

  /** A fast shutdown: with a checkpoint, and everything archived that is to be. */
  async stop(): Promise<void> {
    this.expected = undefined;
    await this.running?.stop(120_000);
  }

  /** Raises with the end of its log if it has ended by itself. */
  requireAlive(): void {
    this.expected?.requireAlive();
  }

  /** Its data goes; it has been stopped. */
  removeData(): void {
    rmSync(this.place.data, { recursive: true, force: true });
  }

  /** Takes a copy of that one's data; both are stopped. Every byte is copied, whatever the file system could do. */
  async copyFrom(from: string): Promise<void> {
    const { user, signal } = this.ground;
    const args = ["-r", "--reflink=never", from, this.place.data];
    await runToEnd({ program: "cp", args, user, signal });
  }
}

/** One with pgbench's tables and the probe's. It does not run. */
export async function filledServer(
  ground: Ground,
  name: string,
  scale: number,
): Promise<StockServer> {
  const server = await StockServer.create(ground, name);
  await server.start();
  await fillForProbes(ground, { name, target: server.target, scale });
  await server.stop();
  return server;
}
