import { availableParallelism } from "node:os";
import { basename } from "node:path";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** What takes longest, or waits for most of its time: at the end one of these would have the machine to itself. */
const beginsFirst = [
  "checker",
  "takeover",
  "failover",
  "lifecycle",
  "clone",
  "endpoints-custom",
  "restore",
  "backtrack",
  "archive-s3",
  "read-gate",
  "parameters",
  "sessions",
  "metrics",
];

/** Else as vitest does: large files first, or slow ones where it remembers. */
class SlowFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification): number => {
      const at = beginsFirst.indexOf(basename(moduleId, ".test.ts"));
      return at < 0 ? beginsFirst.length : at;
    };
    return (await super.sort(files)).toSorted((a, b) => place(a) - place(b));
  }
}

const setupFiles = ["test/helpers/fixed-seed.ts"];

/** On real processes, most of them whole clusters. */
const onClusters = {
  setupFiles,
  // What hangs is found by the waits within; a slow machine is no fault.
  testTimeout: 300_000,
  hookTimeout: 300_000,
  // A cluster under test waits more than it works: a file a core. Each looks for its ports in a place of its own, of four.
  maxWorkers: Math.min(availableParallelism(), 4),
};

export default defineConfig({
  test: {
    sequence: { sequencer: SlowFirst },
    projects: [
      {
        test: {
          name: "unit",
          setupFiles,
          include: [
            "src/**/*.test.ts",
            "sql-tests/**/*.test.ts",
            "bench/**/*.test.ts",
            "test/rooms.test.ts",
            "test/checker-history.test.ts",
          ],
          // Pure logic leaves nothing behind: loading the modules anew for each file took two thirds of the CPU.
          isolate: false,
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
