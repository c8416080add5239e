import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

/** On real processes, most of them whole clusters. */
const onClusters = {
  // What hangs is found by the waits within; a slow machine is no fault.
  testTimeout: 300_000,
  hookTimeout: 300_000,
  // A cluster under test waits more than it works: a file a core. Each looks for its ports in a place of its own, of four.
  maxWorkers: Math.min(availableParallelism(), 4),
};

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          include: [
            "src/**/*.test.ts",
            "sql-tests/**/*.test.ts",
            "bench/**/*.test.ts",
            "test/rooms.test.ts",
            "test/checker-history.test.ts",
          ],
          // Properties are judged by what they find, not by how busy the machine is.
          testTimeout: 60_000,
        },
      },
      {
        test: {
          name: "system",
          include: ["test/*.test.ts"],
          exclude: ["test/rooms.test.ts", "test/checker-history.test.ts"],
          ...onClusters,
        },
      },
      // Killed at random, damaged, lost for good, and what else takes a cluster minutes: in `npm run test:all` only.
      { test: { name: "long", include: ["test/long/*.test.ts"], ...onClusters } },
    ],
  },
});
