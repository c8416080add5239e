/** What asks at a terminal before it does something for good: a salvage and a deletion, with a person's answers. */
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestCluster } from "../helpers/cluster.ts";
import { killAll } from "../helpers/kills.ts";
import { atTerminal, type Conversation, hasTerminals } from "../helpers/terminal.ts";

const ctrlC = String.fromCharCode(3);
const ctrlD = String.fromCharCode(4);
/** Seconds or milliseconds that nobody knows before. */
const took = /, \d+\.\d s$/m;

describe.skipIf(!hasTerminals())("at a terminal (skipped where `script` gives none)", () => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await TestCluster.create({ readers: 0 });
    await cluster.query("CREATE TABLE t AS SELECT generate_series(1, 5000) AS n");
    await killAll(cluster);
    for (const node of ["az3-full", "az3-tail", "az1-full"])
      rmSync(join(cluster.dataDir, "storage", node), { recursive: true });
  });
  afterAll(() => cluster.destroy());

  const asked = (command: readonly string[], word: string, answer: string): Promise<Conversation> =>
    atTerminal([...command, "--data-dir", cluster.dataDir], {
      question: `Type ${word} to go on: `,
      answer,
    });
  const salvage = (answer: string) => asked(["storage", "salvage"], "salvage", answer);
  const deletion = (answer: string) => asked(["delete"], "yes", answer);
  /** What a command changes first. */
  const picture = (): unknown => [
    readdirSync(cluster.dataDir, { recursive: true, encoding: "utf8" }).toSorted(),
    readFileSync(join(cluster.dataDir, "control", "state.json"), "utf8"),
  ];

  it.each([
    ["no", "no\n"],
    ["yes, which is not the word", "yes\n"],
    ["nothing", "\n"],
    ["Ctrl-D", ctrlD],
    ["Ctrl-C", ctrlC],
  ])("a salvage says what it will do, and does nothing for %s", async (_, answer) => {
    const before = picture();
    const { code, shown } = await salvage(answer);
    expect(shown).toMatch(/It stops the cluster, seals the storage nodes that are left/);
    expect(shown).toMatch(/everything that was ever acknowledged is in it;/);
    expect(shown).toMatch(/it cannot be undone\. If the lost nodes can be brought back, do that/);
    expect(shown).toMatch(/^borealis: nothing was done$/m);
    expect(code).toBe(1);
    expect(picture()).toEqual(before);
  });

  it("a salvage is done for the word, and tells bytes meanwhile", async () => {
    const { code, shown, raw } = await salvage("salvage\n");
    expect(shown).toMatch(/^sealed az1-tail, az2-full, az2-tail; the log is whole up to /m);
    const made = /^making the successor's storage nodes: (\d+\.\d MiB)/m.exec(shown)?.[1];
    expect(shown).toMatch(took);
    // The line that was written over, before it was whole.
    expect(raw).toContain(`making the successor's storage nodes: 0 bytes of ${made} (0 %)`);
    expect(shown).toMatch(/^volume \S+ has taken the place of what was lost/m);
    expect(code, shown).toBe(0);
    await cluster.up();
    expect((await cluster.query("SELECT count(*)::int AS n FROM t")).rows).toEqual([{ n: 5000 }]);
    await cluster.down();
  });

  it("a deletion is not done for no, and done for yes, with the bytes that it removes", async () => {
    const before = picture();
    const left = await deletion("no\n");
    expect(left.shown).toMatch(/All of its data goes, its snapshots and its keys too/);
    expect(left.shown).toMatch(/^borealis: nothing was deleted$/m);
    expect([left.code, picture()]).toEqual([1, before]);
    const { code, shown, raw } = await deletion("yes\n");
    expect(code, shown).toBe(0);
    expect(shown).toMatch(/^removing files: \d+\.\d MiB, \d+\.\d s$/m);
    expect(raw).toMatch(/removing files: 0 bytes of \d+\.\d MiB \(0 %\)/);
    expect(existsSync(cluster.dataDir)).toBe(false);
  });
});
