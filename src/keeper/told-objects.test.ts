import { expect, it } from "vitest";
import { passingClock } from "../../test/helpers/passing-clock.ts";
import { BorealisError } from "../base/errors.ts";
import { openLogger } from "../io/index.ts";
import { extentObject, snapshotObject } from "../volume/index.ts";
import type { KeeperContext } from "./keeper-shell.ts";
import { ToldObjects } from "./told-objects-shell.ts";

const extent = extentObject("1".repeat(64));
const manifest = snapshotObject("auto-1");

/** What is judged, and when in seconds, while instances tell of these; `judge`: as ObjectScrubs has it. */
async function judgedWhile(told: string[], judge: (name: string) => Promise<boolean>) {
  const clock = passingClock();
  const context = {
    clock,
    logger: openLogger({ file: undefined, process: "test" }),
    world: () => ({ unreadable: told }),
  } as unknown as KeeperContext;
  const judged: string[] = [];
  const stop = new AbortController();
  const startMs = clock.nowMs();
  const scrubs = {
    judge: (name: string) => {
      judged.push(`${Math.round((clock.nowMs() - startMs) / 1_000)} ${name}`);
      return judge(name);
    },
  };
  const running = new ToldObjects({ context, scrubs }).run(stop.signal);
  while (clock.nowMs() - startMs < 150_000) await new Promise((resolve) => setImmediate(resolve));
  stop.abort(new Error("enough"));
  await running;
  return judged;
}

it("what instances could not read is judged once, and nothing that is no snapshot's", async () => {
  const told = [extent, "../../etc/passwd", "volume.json", "x".repeat(9_000), manifest];
  expect(await judgedWhile(told, async () => true)).toEqual([`0 ${extent}`, `0 ${manifest}`]);
});

it("what could not be judged for sure, since a store is away, is judged again, a minute later", async () => {
  const refuse = async () => Promise.reject(new BorealisError("57P03", "it is not open"));
  for (const judge of [refuse, async () => false])
    expect(await judgedWhile([extent], judge)).toEqual(
      [0, 60, 120].map((second) => `${second} ${extent}`),
    );
});
