/**
 * node-postgres and porsager's postgres through the writer endpoint of a cluster; or against a server that is there
 * already: BOREALIS_TEST_URL=postgres://... npx vitest run test/drivers.test.ts
 */
import { afterAll, beforeAll, describe } from "vitest";
import { TestCluster } from "./helpers/cluster.ts";
import { driverSuite } from "./helpers/driver-suite.ts";

const given = process.env["BOREALIS_TEST_URL"];

describe("drivers", () => {
  let cluster: TestCluster | undefined;
  beforeAll(async () => {
    if (given === undefined) cluster = await TestCluster.create({ readers: 1 });
  });
  afterAll(() => cluster?.destroy());
  driverSuite(
    given === undefined ? "the writer endpoint" : "BOREALIS_TEST_URL",
    () => given ?? cluster?.url() ?? "",
  );
});
