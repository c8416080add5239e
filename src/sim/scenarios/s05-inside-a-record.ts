import { each, reign, type Scenario, six } from "./scenario.ts";

/** The walker's part of it (pages, switch records and their padding) is tested with the walker, in wal. */
export const s05: Scenario = {
  id: "S5",
  what: "the recovery LSN lies inside a record",
  expected: "a branch at the record before; the bytes are cut; the feed stops there",
  world: { ...six, units: 4, unitsPerRecord: 2, withHints: true },
  script: [
    ...reign(1, "n1 n2 n3 n4", "a branch at 0"),
    ...each("n1 n2 n3 n4", "appends for epoch 1: - → 1"),
    ...each("n1 n2 n3 n4", "appends for epoch 1: 1 → 11"),
    ...each("n1 n2 n3 n4", "appends for epoch 1: 11 → 111"),
    "epoch 1 acknowledges 2 units",
    "n1 hears VDL 2 from epoch 1",
    "never: epoch 1 acknowledges 3 units",
    "never: n1 hears VDL 3 from epoch 1",
    ...each("n1 n2 n3 n5", "promises epoch 2"),
    "epoch 2 decides on a branch at 2, with promises of n1, n2, n3, n5",
    ...each("n1 n2 n3", "accepts the Elect of epoch 2: 111 → 11"),
    "n5 accepts the Elect of epoch 2",
    "never: epoch 2 opens",
    ...each("n5 n5", "fills a unit of epoch 1 from a peer"),
    "never: n5 fills a unit of epoch 1 from a peer",
    "epoch 2 opens",
  ],
};
