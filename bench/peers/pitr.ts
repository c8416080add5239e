/** A stock server that archives its log, and is returned to an earlier moment as the manual says: base backup and archive. */
import { renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { runToEnd } from "../child.ts";
import type { Ground, Named } from "../contender.ts";
import type { Target } from "../pgbench.ts";
import { evenSettings, ownedDir, writeOwned } from "./postgres.ts";
import { filledServer, type StockServer } from "./stock-server.ts";

export class PitrServer implements Named {
  readonly name: string;
  readonly settings: readonly string[];
  private readonly ground: Ground;
  private readonly server: StockServer;
  private readonly archive: string;
  private readonly base: string;

  private constructor(ground: Ground, server: StockServer) {
    this.ground = ground;
    this.server = server;
    const { name, home } = server.place;
    this.name = name;
    this.archive = ownedDir(ground, join(name, "archive"));
    this.base = join(home, "base");
    this.settings = [
      `PostgreSQL ${ground.engine.version}, archive_mode=on, archive_command='cp ...'`,
      "a fast shutdown, cp -a of a base backup, restore_command='cp ...', recovery_target_time, promoted there",
      ...evenSettings(ground.engine.major),
    ];
  }

  static async create(ground: Ground, name: string, scale: number): Promise<PitrServer> {
    return new PitrServer(ground, await filledServer(ground, name, scale));
  }

  get target(): Target {
    return this.server.target;
  }

  /** Raises with the end of its log if it has ended by itself. */
  requireAlive(): void {
    this.server.requireAlive();
  }

  /** It runs and has a base backup: of its files while it was down, which is the most that a restore can be given. */
  async begin(): Promise<void> {
    const { signal } = this.ground;
    rmSync(this.base, { recursive: true, force: true });
    await runToEnd({ program: "cp", args: ["-a", this.server.place.data, this.base], signal });
    await this.server.start(this.archiving());
  }

  /** `moment`: a time in ISO 8601. Returns when the server has been started; it recovers then, and promotes itself. */
  async rewind(moment: string): Promise<void> {
    const { ground, server, base, archive } = this;
    const { signal } = ground;
    const { data } = server.place;
    await server.stop();
    renameSync(data, this.abandoned);
    await runToEnd({ program: "cp", args: ["-a", base, data], signal });
    writeOwned(ground, join(data, "recovery.signal"), "");
    server.launch([
      ...this.archiving(),
      `restore_command=cp "${archive}/%f" "%p"`,
      // When options are read, abbreviations of time zones are not known yet: "Z" is one.
      `recovery_target_time=${moment.replace("T", " ").replace("Z", "+00")}`,
      "recovery_target_action=promote",
    ]);
  }

  /** It is down, and what it left is gone. */
  async end(): Promise<void> {
    await this.server.stop();
    rmSync(this.abandoned, { recursive: true, force: true });
  }

  private get abandoned(): string {
    return join(this.server.place.home, "abandoned");
  }

  private archiving(): string[] {
    return ["archive_mode=on", `archive_command=cp "%p" "${this.archive}/%f"`];
  }
}
