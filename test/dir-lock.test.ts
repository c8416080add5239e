/** The lock of a data directory, wanted by several real processes at once: one has it, and the others know who. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { rolldown } from "rolldown";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { findBootId } from "../src/io/index.ts";
import { findHolder, takeLock } from "../src/main/dir-lock.ts";

const repository = resolve(import.meta.dirname, "..");
const racers = 5;
const rounds = 120;
/** No system has so many processes. */
const deadPid = 2 ** 31 - 1;

interface Answer {
  readonly kind: "ready" | "taken" | "held" | "busy" | "released";
  readonly pid?: number;
}

describe("the lock of a data directory", () => {
  let dir: string;
  let file: string;
  const children: ChildProcess[] = [];

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), "borealis-lock-"));
    symlinkSync(join(repository, "node_modules"), join(dir, "node_modules"));
    const compiled = join(dir, "dir-lock.mjs");
    const bundle = await rolldown({
      platform: "node",
      external: [/^node:/, "pino"],
      input: join(repository, "src/main/dir-lock.ts"),
    });
    await bundle.write({ file: compiled, format: "esm" });
    await bundle.close();
    const racer = resolve(import.meta.dirname, "helpers/lock-racer.mjs");
    for (let k = 0; k < racers; k++) children.push(fork(racer, [compiled]));
    await Promise.all(children.map(answerOf));
  });
  afterAll(() => {
    for (const child of children) child.kill();
    rmSync(dir, { recursive: true, force: true });
  });
  beforeEach(() => {
    const folder = mkdtempSync(join(dir, "control-"));
    file = join(folder, "lock");
  });

  async function answerOf(child: ChildProcess): Promise<Answer> {
    const gone = once(child, "exit").then(() => Promise.reject(new Error("a racer has ended")));
    const [answer] = (await Promise.race([once(child, "message"), gone])) as [Answer];
    return answer;
  }

  /** All want it within the same millisecond; gives what each was told. */
  async function race(): Promise<Answer[]> {
    const answers = Promise.all(children.map(answerOf));
    const atMs = Date.now() + 4;
    for (const child of children) child.send({ file, atMs });
    return answers;
  }

  async function releaseAll(): Promise<void> {
    const answers = Promise.all(children.map(answerOf));
    for (const child of children) child.send({});
    await answers;
  }

  const stale = (token: string): string => `${deadPid}\n${findBootId() ?? ""}\n${token}`;

  it.each([
    ["nobody has it", () => undefined],
    ["a dead process had it", () => writeFileSync(file, stale("one\n"))],
    ["a dead process of an older version had it", () => writeFileSync(file, stale(""))],
    [
      "another start of the machine had it",
      () => writeFileSync(file, `${process.pid}\n00000000-0000-0000-0000-000000000000\none\n`),
    ],
    [
      "one that took over from a dead process died on its way",
      () => {
        writeFileSync(file, stale("one\n"));
        writeFileSync(`${file}.after-one`, stale("two\n"));
      },
    ],
  ])("is taken by one of many when %s", async (_, prepare) => {
    for (let round = 0; round < rounds; round++) {
      prepare();
      const answers = await race();
      const winners = children.filter((__, k) => answers[k]?.kind === "taken");
      expect(winners).toHaveLength(1);
      const held = answers.filter(({ kind }) => kind === "held");
      expect(held.map(({ pid }) => pid)).toEqual(held.map(() => winners[0]?.pid));
      expect(held).toHaveLength(racers - 1);
      expect(findHolder(file)).toBe(winners[0]?.pid);
      await releaseAll();
      expect(readdirSync(join(file, ".."))).toEqual([]);
    }
  });

  it("is let go by who has it, and by nobody else", () => {
    const first = takeLock(file);
    if (first.kind !== "taken") throw new Error("it is free");
    // Somebody has removed the directory's files, and another one has it since.
    writeFileSync(file, stale("one\n"));
    first.release();
    expect(readFileSync(file, "utf8")).toBe(stale("one\n"));
  });
});
