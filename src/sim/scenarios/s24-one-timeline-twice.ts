import { each, reign, type Scenario, six } from "./scenario.ts";

export const s24: Scenario = {
  id: "S24",
  what: "two promotions give the same timeline number (2, the next after epoch 1's) to different content",
  expected: "epochs tell them apart",
  world: six,
  script: [
    ...reign(1, "n1 n2 n3 n4", "a branch at 0"),
    ...each("n1 n2 n3 n4", "appends for epoch 1: - → 1"),
    "epoch 1 acknowledges 1 units",
    ...reign(2, "n1 n2 n3 n4", "a branch at 1"),
    "n1 appends for epoch 2: 1 → 12",
    ...each("n2 n3 n4 n5", "promises epoch 3"),
    "epoch 3 decides on a branch at 1, with promises of n2, n3, n4, n5",
    "n2 accepts the Elect of epoch 3",
    "n1 accepts the Elect of epoch 3: 12 → 1",
    "never: n1 fills a unit of epoch 2 from a peer",
  ],
};
