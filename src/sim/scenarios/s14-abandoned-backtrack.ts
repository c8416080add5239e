import { each, reign, type Scenario, six } from "./scenario.ts";

const world = { ...six, epochs: 4, units: 1, backtracks: 1 };

/** One commit, then a backtrack to before it that its driver has decided on, with promises of n3 to n6. */
const begun = [
  ...reign(1, "n1 n2 n3 n4", "a branch at 0"),
  ...each("n1 n2 n3 n4", "appends for epoch 1: - → 1"),
  "epoch 1 acknowledges 1 units",
  ...each("n3 n4 n5 n6", "promises epoch 2"),
  "epoch 2 decides on a backtrack at 0, with promises of n3, n4, n5, n6",
];

export const s14One: Scenario = {
  id: "S14",
  what: "a backtrack's driver dies after 1 node accepted; an election without it, then one through that node",
  expected: "abandoned; the copy is taken back",
  world,
  script: [
    ...begun,
    "n4 accepts the Elect of epoch 2: 1 → -",
    ...each("n1 n2 n3 n5", "promises epoch 3"),
    "epoch 3 decides on a branch at 1, with promises of n1, n2, n3, n5",
    "n4 accepts the Elect of epoch 3: - → 1",
    ...each("n4 n5 n6 n1", "promises epoch 4"),
    "epoch 4 decides on a branch at 1, with promises of n1, n4, n5, n6",
  ],
};

export const s14Three: Scenario = {
  id: "S14b",
  what: "a backtrack's driver dies after 3 nodes accepted",
  expected: "no write quorum is without it: carried on",
  world,
  script: [
    ...begun,
    ...each("n3 n4", "accepts the Elect of epoch 2: 1 → -"),
    "n5 accepts the Elect of epoch 2",
    "never: epoch 2 opens",
    ...each("n1 n2 n5 n6", "promises epoch 3"),
    "epoch 3 decides on a branch at 0, with promises of n1, n2, n5, n6",
    // Cut for an heir of the backtrack, and kept aside as for the backtrack itself.
    ...each("n1 n2", "accepts the Elect of epoch 3: 1 → -"),
    ...each("n5 n6", "accepts the Elect of epoch 3"),
    "epoch 3 opens",
  ],
};

export const s14Four: Scenario = {
  id: "S14c",
  what: "a backtrack's driver dies after 4 nodes accepted, before it knew",
  expected: "carried on; its own opening may be heard late",
  world,
  script: [
    ...begun,
    ...each("n3 n4", "accepts the Elect of epoch 2: 1 → -"),
    ...each("n5 n6", "accepts the Elect of epoch 2"),
    ...each("n1 n2 n3 n4", "promises epoch 3"),
    "epoch 3 decides on a branch at 0, with promises of n1, n2, n3, n4",
    ...each("n1 n2", "accepts the Elect of epoch 3: 1 → -"),
    ...each("n3 n4", "accepts the Elect of epoch 3"),
    "epoch 3 opens",
    "epoch 2 opens",
  ],
};

export const s14Heir: Scenario = {
  id: "S14d",
  what: "the backtrack's heir dies too; an election without both, and a read quorum of nodes that had met either",
  expected: "abandoned; what the heir had cut is taken back (M39)",
  world,
  script: [
    ...begun,
    "n5 accepts the Elect of epoch 2",
    ...each("n1 n2 n5 n6", "promises epoch 3"),
    "epoch 3 decides on a branch at 0, with promises of n1, n2, n5, n6",
    "n1 accepts the Elect of epoch 3: 1 → -",
    ...each("n2 n3 n4 n6", "promises epoch 4"),
    "epoch 4 decides on a branch at 1, with promises of n2, n3, n4, n6",
    ...each("n5 n6", "accepts the Elect of epoch 4"),
    "n1 accepts the Elect of epoch 4: - → 1",
  ],
};
