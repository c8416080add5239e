/** An application with AWS's Node wrapper, as a process of its own: test/clients/wrapper.mjs. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { copyFileSync, existsSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";

const run = promisify(execFile);
const program = "wrapper.mjs";

/** Puts the program and its packages into `folder`. False: the wrapper cannot be had. */
export async function installWrapper(folder: string): Promise<boolean> {
  copyFileSync(join(import.meta.dirname, "..", "clients", program), join(folder, program));
  if (process.env["BOREALIS_TEST_INSTALL"] !== "off") {
    const args = ["install", "--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=0"];
    // Those of AWS's SDK it imports in any case, without saying so.
    const sdk = ["credential-providers", "rds-signer", "client-rds", "client-secrets-manager"];
    const packages = [
      "aws-advanced-nodejs-wrapper@2.0.1",
      "pg@8.23.1",
      ...sdk.map((name) => `@aws-sdk/${name}@3`),
    ];
    const all = [...args, "--prefix", folder, ...packages];
    await run("npm", all, { timeout: 120_000 }).catch(() => undefined);
  }
  return existsSync(join(folder, "node_modules", "aws-advanced-nodejs-wrapper"));
}

export interface Sight {
  readonly dialect: string;
  readonly host: string;
  /** The other end of its socket. */
  readonly address: string;
  readonly role: string;
  /** Id, host and role of each instance. */
  readonly topology: readonly (readonly [string, string, string])[];
}

/** What the wrapper threw, by its class. */
export class WrapperError extends Error {
  constructor({ name, code, message }: { name: string; code?: string; message: string }) {
    super(`${name}${code === undefined ? "" : ` ${code}`}: ${message}`);
    this.name = name;
  }
}

interface Answer {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: { name: string; code?: string; message: string };
}

export class WrapperApp {
  private readonly child: ChildProcess;
  private readonly ended: Promise<number | null>;
  private readonly waiting = new Map<number, (answer: Answer) => void>();
  private calls = 0;
  private stderr = "";

  /** `hosts`: names that it finds addresses for, as in /etc/hosts. */
  constructor(folder: string, hosts: Readonly<Record<string, string>> = {}) {
    this.child = spawn(process.execPath, [join(folder, program)], {
      cwd: folder,
      env: { ...process.env, HOSTS: JSON.stringify(hosts) },
      stdio: ["pipe", "pipe", "pipe"],
    });
    this.ended = new Promise((resolve) => this.child.once("close", resolve));
    this.child.stderr?.on("data", (chunk) => (this.stderr += String(chunk)));
    if (this.child.stdout) {
      createInterface({ input: this.child.stdout }).on("line", (line) => {
        // The wrapper's log goes there, too.
        if (!line.startsWith("{")) return;
        const answer = JSON.parse(line) as Answer;
        this.waiting.get(answer.id)?.(answer);
        this.waiting.delete(answer.id);
      });
    }
    void this.ended.then(() => {
      for (const [id, tell] of this.waiting)
        tell({ id, error: { name: "Ended", message: this.stderr } });
    });
  }

  connect(client: string, config: Record<string, unknown>): Promise<unknown> {
    return this.call({ call: "connect", client, config });
  }

  async query(client: string, sql: string): Promise<Record<string, unknown>[]> {
    return (await this.call({ call: "query", client, sql })) as Record<string, unknown>[];
  }

  setReadOnly(client: string, isReadOnly: boolean): Promise<unknown> {
    return this.call({ call: "setReadOnly", client, isReadOnly });
  }

  async sight(client: string): Promise<Sight> {
    return (await this.call({ call: "sight", client })) as Sight;
  }

  /** Waits until the wrapper has come to know the cluster, so that it can notice a failover. */
  settle(client: string): Promise<unknown> {
    return this.call({ call: "settle", client });
  }

  /** That its plugin has measured so far, in nanoseconds. */
  async connectTimeNs(): Promise<bigint> {
    return BigInt((await this.call({ call: "connectTime" })) as string);
  }

  end(client: string): Promise<unknown> {
    return this.call({ call: "end", client });
  }

  /** The end of its standard input asks it to. */
  async close(): Promise<void> {
    this.child.stdin?.end();
    const timer = setTimeout(() => this.child.kill("SIGKILL"), 20_000);
    await this.ended;
    clearTimeout(timer);
  }

  private call(parameters: Record<string, unknown>): Promise<unknown> {
    const id = ++this.calls;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, ({ result, error }) => {
        if (error) reject(new WrapperError(error));
        else resolve(result);
      });
      this.child.stdin?.write(`${JSON.stringify({ id, ...parameters })}\n`);
    });
  }
}
