import { each, reign, type Scenario, six } from "./scenario.ts";

export const s06: Scenario = {
  id: "S6",
  what: "two drivers claim the same epoch number, the nodes split 3:3",
  expected: "nobody is elected; both retry higher; one wins",
  world: { ...six, claims: [1, 1, 2] },
  script: [
    ...each("n1 n2 n3", "promises epoch 1 (claim 1)"),
    ...each("n4 n5 n6", "promises epoch 1 (claim 2)"),
    "never: n4 promises epoch 1 (claim 1)",
    "never: epoch 1 (claim 1) decides on a branch at 0, with promises of n1, n2, n3",
    "never: epoch 1 (claim 2) decides on a branch at 0, with promises of n4, n5, n6",
    ...reign(2, "n1 n2 n4 n5", "a branch at 0"),
  ],
};
