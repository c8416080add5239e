import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import { openLogger, realClock } from "../io/index.ts";
import { ClusterCommands, type CommandDoer, type CommandWait } from "./cluster-commands-shell.ts";

const who = { user: "postgres", remote: "127.0.0.1:1", application: "psql" };

function waiting(signal = new AbortController().signal): CommandWait {
  return { tell: () => undefined, signal };
}

function commands(command: CommandDoer, file?: string): ClusterCommands {
  const logger = openLogger({ file, process: "test" });
  return new ClusterCommands({ clock: realClock, logger, command });
}

describe("commands from the admin database", () => {
  it("are ten at most at a time, whoever waits for them", async () => {
    const finish: (() => void)[] = [];
    const desk = commands(async () => {
      await new Promise<void>((resolve) => finish.push(resolve));
      return ["done"];
    });
    const gone = new AbortController();
    const order = { kind: "failover", target: null } as const;
    const all = Array.from({ length: 10 }, () => desk.run(order, who, waiting(gone.signal)));
    gone.abort(new BorealisError(sqlState.queryCanceled, "nobody waits"));
    for (const one of await Promise.allSettled(all)) expect(one.status).toBe("rejected");
    // They are still under way.
    await expect(desk.run(order, who, waiting())).rejects.toMatchObject({ code: "53300" });
    finish.shift()?.();
    await new Promise((resolve) => setImmediate(resolve));
    const eleventh = desk.run(order, who, waiting());
    for (const one of finish) one();
    expect(await eleventh).toEqual(["done"]);
  });

  it("say who asks, in their own words, cut where they are long", async () => {
    const asked: string[] = [];
    const desk = commands(async ({ by, text }) => {
      asked.push(`${by.user}: ${text}`);
      throw new BorealisError(sqlState.invalidParameter, "there is none");
    });
    const order = { kind: "stop storage", ids: Array(100).fill("x".repeat(200)) } as const;
    const said = await desk.run(order, who, waiting()).catch(messageOf);
    expect(said).toBe("there is none");
    expect(asked[0]).toMatch(/^postgres: STOP STORAGE 'xxx/);
    expect(asked[0]?.length).toBeLessThan(600);
  });

  it("leave no value of a setting in the log, nor what is said of it", async () => {
    const folder = mkdtempSync(join(tmpdir(), "borealis-commands-"));
    const file = join(folder, "log");
    try {
      const desk = commands(
        () => Promise.reject(new BorealisError(sqlState.invalidParameter, 'invalid "hunter2"')),
        file,
      );
      const common = { kind: "set parameter", instance: null } as const;
      const secret = { ...common, id: "primary_conninfo", value: "password=hunter2" };
      await expect(desk.run(secret, who, waiting())).rejects.toThrow("hunter2");
      const plain = { ...common, id: "work_mem", value: "1" };
      await expect(desk.run(plain, who, waiting())).rejects.toThrow("hunter2");
      const lines = readFileSync(file, "utf8").trimEnd().split("\n");
      expect(lines).toHaveLength(4);
      for (const line of lines.slice(0, 2)) expect(line).not.toContain("hunter2");
      expect(lines[1]).toContain("22023");
      expect(lines[3]).toContain("hunter2");
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
