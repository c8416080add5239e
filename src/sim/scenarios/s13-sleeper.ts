import { each, reign, type Scenario, six } from "./scenario.ts";

export const s13: Scenario = {
  id: "S13",
  what: "backtrack; a node that slept returns with the longer log; a claim with it in the quorum",
  expected: "stays backtracked",
  world: { ...six, backtracks: 1 },
  script: [
    ...reign(1, "n1 n2 n3 n4", "a branch at 0"),
    ...each("n1 n2 n3 n4", "appends for epoch 1: - → 1"),
    ...each("n1 n2 n3 n4", "appends for epoch 1: 1 → 11"),
    "epoch 1 acknowledges 1 units",
    "epoch 1 acknowledges 2 units",
    ...each("n2 n3 n4 n5", "promises epoch 2"),
    "epoch 2 decides on a backtrack at 1, with promises of n2, n3, n4, n5",
    ...each("n2 n3 n4", "accepts the Elect of epoch 2: 11 → 1"),
    "n5 accepts the Elect of epoch 2",
    "n5 fills a unit of epoch 1 from a peer: - → 1",
    "epoch 2 opens",
    // n1 wakes up.
    ...each("n1 n2 n3 n6", "promises epoch 3"),
    "epoch 3 decides on a branch at 1, with promises of n1, n2, n3, n6",
    "n1 accepts the Elect of epoch 3: 11 → 1",
  ],
};
