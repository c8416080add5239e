import { each, reign, type Scenario, six } from "./scenario.ts";

export const s01: Scenario = {
  id: "S1",
  what: "4 of 6 ack, the driver dies, the two others and two of the four answer the claim",
  expected: "the commit is present",
  world: six,
  script: [
    ...reign(1, "n1 n2 n3 n4", "a branch at 0"),
    ...each("n1 n2 n3 n4", "appends for epoch 1: - → 1"),
    "epoch 1 acknowledges 1 units",
    ...each("n3 n4 n5 n6", "promises epoch 2"),
    "epoch 2 decides on a branch at 1, with promises of n3, n4, n5, n6",
    ...each("n3 n4 n5 n6", "accepts the Elect of epoch 2"),
    // n5 and n6 lack what lies below the start: a driver of which only two nodes hold the log is not open.
    "never: epoch 2 opens",
    "never: n5 appends for epoch 2",
    ...each("n5 n6", "fills a unit of epoch 1 from a peer: - → 1"),
    "epoch 2 opens",
  ],
};
