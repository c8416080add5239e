import { each, reign, type Scenario, six } from "./scenario.ts";

export const s08: Scenario = {
  id: "S8",
  what: "a delayed Elect doubles after appends in the same epoch",
  expected: "no second cut",
  world: six,
  script: [
    ...reign(1, "n1 n2 n3 n4", "a branch at 0"),
    ...each("n1 n2 n3 n4", "appends for epoch 1: - → 1"),
    "epoch 1 acknowledges 1 units",
    // It changes nothing, so it is no step.
    "never: n1 accepts the Elect of epoch 1",
    ...each("n1 n2 n3 n4", "appends for epoch 1: 1 → 11"),
    "epoch 1 acknowledges 2 units",
    "never: n1 accepts the Elect of epoch 1",
  ],
};
