/** The master user's password, lost and made anew. */
import { readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestCluster } from "./helpers/cluster.ts";
import { documentIn } from "./helpers/json.ts";

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await TestCluster.create({ readers: 0 });
});
afterAll(() => cluster.destroy());

/** Who it lets in, with this password. */
async function whoami(password: string): Promise<string> {
  const { port } = cluster;
  const client = new pg.Client({ host: "127.0.0.1", port, user: "postgres", password });
  await client.connect();
  try {
    return (await client.query("SELECT current_user AS who")).rows[0].who;
  } finally {
    await client.end();
  }
}

const file = (): string => join(cluster.dataDir, "password");

describe("the master password", () => {
  it("is shown, and missed where it is not known", async () => {
    expect((await cluster.cli("password", "show")).stdout.trim()).toBe(cluster.password);
    rmSync(file());
    const shown = await cluster.cli("password", "show");
    expect(shown.code).toBe(1);
    expect(shown.stderr).toMatch(/nobody here knows the password of postgres/);
    expect(shown.stderr).toMatch(/borealis password set/);
  });

  it("is made anew by who does not know it, also one that has run out", async () => {
    const wanted = " it's another: one\u00e9 ";
    const open = await cluster.client();
    await open.query("ALTER ROLE postgres VALID UNTIL '2020-01-01'");
    await expect(whoami(cluster.password)).rejects.toThrow(/authentication failed/);
    const set = await cluster.cli("password", "set", "--password", wanted);
    expect(set.stderr).toBe("");
    expect(set.code).toBe(0);
    expect(await whoami(wanted)).toBe("postgres");
    await expect(whoami(cluster.password)).rejects.toThrow(/authentication failed/);
    expect((await open.query("SELECT 1 AS one")).rows).toEqual([{ one: 1 }]);
    await open.end();
    expect(statSync(file()).mode & 0o777).toBe(0o600);
    const url = (await cluster.cli("url")).stdout.trim();
    expect(decodeURIComponent(new URL(url).password)).toBe(wanted);
  });

  it("is generated unless it is given, and in no log", async () => {
    const set = await cluster.cli("password", "set", "--json");
    const { user, password } = documentIn(set.stdout) as { user: string; password: string };
    expect(user).toBe("postgres");
    expect(password.length).toBeGreaterThan(20);
    expect(await whoami(password)).toBe("postgres");
    for (const name of ["instance-1.postgres", "instance-1.log", "control-plane.log"])
      expect(readFileSync(join(cluster.dataDir, "log", name), "utf8")).not.toContain(password);
  });

  it("is refused where it cannot be one", async () => {
    for (const bad of ["", "  ", "two\nlines"]) {
      const set = await cluster.cli("password", "set", "--password", bad);
      expect(set.code, bad).toBe(2);
      expect(set.stderr).toMatch(/a password is one line, and not empty/);
    }
  });

  it("stays what it was while nobody writes", async () => {
    const before = readFileSync(file(), "utf8");
    await cluster.down();
    const set = await cluster.cli("password", "set");
    expect(set.code).toBe(1);
    expect(set.stderr).toMatch(/is not running; start it with borealis up/);
    expect(readFileSync(file(), "utf8")).toBe(before);
  });
});
