import { describe, expect, it } from "vitest";
import { fateOf, readFate, readLivingFate, type WriterLife } from "./fate.ts";

function life(name: string, epoch: number, cutoff: bigint): WriterLife {
  return { incarnation: name, epoch, cutoff, postmaster: `pg of ${name}` };
}

const lives = [life("a", 1, 3n), life("b", 4, 1000n), life("c", 5, 990n), life("d", 9, 2000n)];

describe("the fate of a transaction, by the table alone", () => {
  it.each([
    ["below every later cutoff is to be asked for", "a", 989n, "ask"],
    ["at a cutoff never happened", "b", 990n, "neverHappened"],
    ["above the next life's cutoff never happened", "a", 1000n, "neverHappened"],
    ["at any later cutoff, not only the next one's, never happened", "a", 995n, "neverHappened"],
    ["is not touched by cutoffs of its own and earlier lives", "c", 1500n, "ask"],
    ["of the present writer is not known", "d", 2500n, "unknown"],
    ["of a stranger is not known", "x", 5n, "unknown"],
  ])("%s", (_, incarnation, xid, fate) => {
    expect(fateOf(lives, incarnation, xid)).toBe(fate);
  });

  it("of a life whose name was used twice is not known", () => {
    expect(fateOf([...lives, life("a", 12, 3000n)], "a", 995n)).toBe("unknown");
  });
});

describe("an answer of a writer", () => {
  const transaction = { incarnation: "b", xid: 500n };

  it.each([
    ["committed", "committed"],
    ["aborted", "aborted"],
    ["in progress", "prepared"],
    [null, "unknown"],
  ])("%s means %s", (status, fate) => {
    expect(readFate(lives, transaction, [status, "pg of d"])).toBe(fate);
  });

  it("means nothing where the number was given out again before the answer", () => {
    const lost = { incarnation: "b", xid: 990n };
    expect(readFate(lives, lost, ["committed", "pg of c"])).toBe("neverHappened");
    expect(readFate(lives, lost, ["committed", "pg of d"])).toBe("neverHappened");
  });

  it("of a life that is not in the table yet is no answer", () => {
    expect(readFate(lives, transaction, ["committed", "pg of e"])).toBe("askAgain");
  });

  it("of its own life or an earlier one is no answer", () => {
    expect(readFate(lives, transaction, ["committed", "pg of b"])).toBe("askAgain");
    expect(readFate(lives, transaction, ["committed", "pg of a"])).toBe("askAgain");
  });

  it("counts up to who answered: a later life takes nothing back from it", () => {
    const kept = { incarnation: "a", xid: 995n };
    expect(readFate(lives, kept, ["committed", "pg of b"])).toBe("committed");
  });
});

describe("an answer of the writer that a server process was ended on", () => {
  it.each([
    ["committed", "f", "committed"],
    ["aborted", "f", "aborted"],
    ["in progress", "t", "prepared"],
    // Of a server process that has not ended yet.
    ["in progress", "f", "askAgain"],
    [null, "f", "unknown"],
  ])("%s, prepared: %s, means %s", (status, isPrepared, fate) => {
    expect(readLivingFate(lives, "d", [status, "pg of d", isPrepared])).toBe(fate);
  });

  it("is none where another PostgreSQL has answered, or it is not known whose it is", () => {
    for (const postmaster of ["pg of c", "pg of e"])
      expect(readLivingFate(lives, "d", ["committed", postmaster, "f"])).toBe("askAgain");
    expect(readLivingFate(lives, "x", ["committed", "pg of d", "f"])).toBe("askAgain");
    const twice = [...lives, life("d", 12, 3000n)];
    expect(readLivingFate(twice, "d", ["committed", "pg of d", "f"])).toBe("askAgain");
  });
});
