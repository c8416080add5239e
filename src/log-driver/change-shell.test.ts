import { describe, expect, it } from "vitest";
import { epoch, nodeId } from "../base/ids.ts";
import { type Configuration, type MemberSet, memberSet } from "../quorum/index.ts";
import { ChangeOfMembers } from "./change-shell.ts";

/** Three nodes named by digits. */
function aSet(digits: string): MemberSet {
  return memberSet(
    Array.from(digits).map((digit) => ({
      nodeId: nodeId(`00000000-0000-4000-8000-00000000000${digit}`),
      az: "az1",
      kind: "full" as const,
    })),
  );
}

function counted(...sets: string[]): Configuration {
  return { id: { epoch: epoch(1), version: 1 }, sets: sets.map(aSet) };
}

function aChange() {
  const begun: string[] = [];
  const logger = { info: () => undefined } as never;
  const change = new ChangeOfMembers(logger, (set) => {
    begun.push(set.members.map((member) => member.nodeId.at(-1)).join(""));
  });
  const settled = (...sets: string[]): void => change.onChanged(counted(...sets), true);
  const counting = (...sets: string[]): void => change.onChanged(counted(...sets), false);
  return { begun, change, settled, counting };
}

describe("a change of members", () => {
  it("goes from one settled set to the other, and is done when that is settled", async () => {
    const { begun, change, settled, counting } = aChange();
    settled("123");
    const done = change.ask(aSet("124"));
    expect(begun).toEqual(["124"]);
    change.onAnswer("begun");
    counting("123", "124");
    counting("124");
    change.tick();
    settled("124");
    change.tick();
    await done;
    expect(begun).toEqual(["124"]);
  });

  it("is done at once where the set counts already", async () => {
    const { begun, change, settled } = aChange();
    settled("124");
    await change.ask(aSet("124"));
    expect(begun).toEqual([]);
  });

  it("asks again while what was made before is not settled", async () => {
    const { begun, change, settled } = aChange();
    const done = change.ask(aSet("124"));
    change.onAnswer("busy");
    change.tick();
    change.onAnswer("begun");
    settled("124");
    change.tick();
    await done;
    expect(begun).toEqual(["124", "124"]);
  });

  it("goes back first where an earlier driver left two sets that count, and neither is the wish", async () => {
    const { begun, change, settled, counting } = aChange();
    counting("123", "124");
    const done = change.ask(aSet("125"));
    change.onAnswer("begun");
    settled("123");
    change.tick();
    change.onAnswer("begun");
    settled("125");
    change.tick();
    await done;
    expect(begun).toEqual(["123", "125"]);
  });

  it("goes on from where the earlier change ended, though it was turned back", async () => {
    const { begun, change, settled, counting } = aChange();
    counting("123", "124");
    const done = change.ask(aSet("125"));
    change.onAnswer("busy");
    settled("124");
    change.tick();
    change.onAnswer("begun");
    settled("125");
    change.tick();
    await done;
    expect(begun).toEqual(["123", "125"]);
  });

  it("gives way to a newer wish", async () => {
    const { begun, change, settled, counting } = aChange();
    settled("123");
    const first = change.ask(aSet("124"));
    change.onAnswer("begun");
    counting("123", "124");
    const second = change.ask(aSet("125"));
    await expect(first).rejects.toThrow("other members");
    change.onAnswer("begun");
    settled("123");
    change.tick();
    change.onAnswer("begun");
    settled("125");
    change.tick();
    await second;
    expect(begun).toEqual(["124", "123", "125"]);
  });

  it("ends with its epoch, and with a set that is no group", async () => {
    const first = aChange();
    const done = first.change.ask(aSet("124"));
    first.change.end(new Error("over"));
    await expect(done).rejects.toThrow("over");
    const second = aChange();
    const refused = second.change.ask(aSet("11"));
    second.change.onAnswer("unsound");
    await expect(refused).rejects.toThrow("no protection group");
  });
});
