import { describe } from "vitest";
import { nodePostgresSuite } from "./node-postgres-suite.ts";
import { porsagerSuite } from "./porsager-suite.ts";

/**
 * What applications do to a server, by two widely used drivers: pipelines, prepared statements, cursors, COPY, LISTEN,
 * transactions, errors, cancel, types. Declares vitest tests; `url` is asked when they run, for a role that may create
 * schemas. All that is made is dropped.
 */
export function driverSuite(name: string, url: () => string): void {
  describe(`node-postgres on ${name}`, () => nodePostgresSuite(url));
  describe(`porsager postgres on ${name}`, () => porsagerSuite(url));
}
