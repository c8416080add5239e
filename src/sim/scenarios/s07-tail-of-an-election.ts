import { each, reign, type Scenario, six } from "./scenario.ts";

export const s07: Scenario = {
  id: "S7",
  what: "a reader listens while an election with a recovered tail is under way; the election fails",
  expected: "the reader never shows the tail",
  // What each node would serve to a reader is held against what was acknowledged, after every step (I5).
  world: { ...six, withHints: true },
  script: [
    ...reign(1, "n1 n2 n3 n4", "a branch at 0"),
    "n1 appends for epoch 1: - → 1",
    ...each("n1 n2 n3 n5", "promises epoch 2"),
    "epoch 2 decides on a branch at 1, with promises of n1, n2, n3, n5",
    ...each("n1 n2", "accepts the Elect of epoch 2"),
    "n2 fills a unit of epoch 1 from a peer: - → 1",
    "never: n1 hears VDL 1 from epoch 2",
    // Epoch 2 dies; n1 and n2 are not asked.
    ...reign(3, "n3 n4 n5 n6", "a branch at 0"),
    "n1 accepts the Elect of epoch 3: 1 → -",
  ],
};
