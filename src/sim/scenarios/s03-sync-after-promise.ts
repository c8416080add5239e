import { each, reign, type Scenario, six } from "./scenario.ts";

export const s03: Scenario = {
  id: "S3",
  what: "an fsync is in flight when a node promises; it completes afterwards",
  expected: "no ack to the old driver; the commit is answered unknown",
  world: { ...six, units: 1, withSync: true },
  script: [
    ...reign(1, "n1 n2 n3 n4", "a branch at 0"),
    ...each("n1 n2 n3 n4", "appends for epoch 1: - → 1"),
    ...each("n1 n2 n3", "finishes its sync"),
    "n4 promises epoch 2",
    "n4 finishes its sync",
    "never: epoch 1 acknowledges 1 units",
    // The byte is there all the same, and epoch 2 may find it, or not.
    ...each("n1 n5 n6", "promises epoch 2"),
    "epoch 2 decides on a branch at 1, with promises of n1, n4, n5, n6",
  ],
};
