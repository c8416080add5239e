import { each, reign, type Scenario, six } from "./scenario.ts";

export const s02: Scenario = {
  id: "S2",
  what: "the longest log in an old epoch, a shorter one in a newer",
  expected: "the newer one wins; the tail is cut",
  world: six,
  script: [
    ...reign(1, "n1 n2 n3 n4", "a branch at 0"),
    ...each("n1 n1", "appends for epoch 1"),
    // n1 alone has two units; epoch 2 hears nothing of it.
    ...reign(2, "n2 n3 n4 n5", "a branch at 0"),
    ...each("n2 n3", "appends for epoch 2: - → 2"),
    ...each("n1 n2 n5 n6", "promises epoch 3"),
    "epoch 3 decides on a branch at 1, with promises of n1, n2, n5, n6",
    "n1 accepts the Elect of epoch 3: 11 → -",
    "n1 fills a unit of epoch 2 from a peer: - → 2",
  ],
};
