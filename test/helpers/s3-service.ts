/** npm's s3rver on loopback with a temporary folder, a shim in front of it, and stores that go through the shim. */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { realClock, realDisk, realRng } from "../../src/io/index.ts";
import { openS3Store, type S3OpenOptions, type S3Store } from "../../src/volume/index.ts";
import { HttpShim } from "./http-shim.ts";

/** s3rver knows one account. */
export const rightKeys = { AWS_ACCESS_KEY_ID: "S3RVER", AWS_SECRET_ACCESS_KEY: "S3RVER" };
export const bucket = "borealis-test";

type Server = ChildProcessByStdio<Writable, Readable, null>;

export class S3Service {
  private readonly folder: string;
  private readonly server: Server;
  readonly shim: HttpShim;
  private count = 0;

  private constructor(folder: string, server: Server, port: number) {
    this.folder = folder;
    this.server = server;
    this.shim = new HttpShim(port);
  }

  static async start(): Promise<S3Service> {
    const folder = mkdtempSync(join(tmpdir(), "borealis-s3-"));
    const script = fileURLToPath(new URL("s3rver.mjs", import.meta.url));
    const server = spawn(
      process.execPath,
      ["--openssl-legacy-provider", "--no-deprecation", script, folder, bucket],
      { stdio: ["pipe", "pipe", "inherit"] },
    );
    const [said] = (await once(server.stdout, "data")) as [Buffer];
    const service = new S3Service(folder, server, Number(said.toString()));
    await service.shim.listen();
    return service;
  }

  async stop(): Promise<void> {
    await this.shim.close();
    this.server.stdin.end();
    if (this.server.exitCode === null) await once(this.server, "exit");
    rmSync(this.folder, { recursive: true });
  }

  urlOf(path: string): string {
    return `s3://${path}?endpoint=http://127.0.0.1:${this.shim.port}`;
  }

  /** A store under a prefix of its own. */
  open(changes: Partial<S3OpenOptions> = {}): Promise<S3Store> {
    return openS3Store({
      url: this.urlOf(`${bucket}/store-${++this.count}`),
      env: rightKeys,
      disk: realDisk,
      clock: realClock,
      rng: realRng,
      ...changes,
      limits: {
        partBytes: 5 * 1024 ** 2,
        idleTimeoutMs: 15_000,
        connectTimeoutMs: 15_000,
        retryMs: 30_000,
        ...changes.limits,
      },
    });
  }
}
