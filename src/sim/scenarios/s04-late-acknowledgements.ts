import { each, reign, type Scenario, six } from "./scenario.ts";

export const s04: Scenario = {
  id: "S4",
  what: "all four acks are delayed past the next epoch's opening",
  expected: "the old driver may answer committed; the new log has it",
  world: six,
  script: [
    ...reign(1, "n1 n2 n3 n4", "a branch at 0"),
    ...each("n1 n2 n3 n4", "appends for epoch 1: - → 1"),
    ...reign(2, "n1 n2 n3 n4", "a branch at 1"),
    ...each("n1 n2 n3 n4", "appends for epoch 2: 1 → 12"),
    "epoch 2 acknowledges 2 units",
    "epoch 1 acknowledges 1 units",
    "never: n1 appends for epoch 1",
  ],
};
