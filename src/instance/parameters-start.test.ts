import { expect, it } from "vitest";
import { openLogger, realClock } from "../io/index.ts";
import { InstanceParameters } from "./parameters-shell.ts";

/** What its PostgreSQL is to be started with, one attempt after the other. */
function attemptsOf(parameters: InstanceParameters): object[] {
  return parameters.attempts().map((values) => Object.fromEntries(values));
}

it("an instance starts with what was set, and without what it does not start with", async () => {
  const server = {
    pid: 7,
    address: { socketDir: "/nowhere", port: 5432 },
    rewriteParameters: () => Promise.reject(new Error("nothing is to be written")),
  };
  const parameters = new InstanceParameters({
    config: { instance: "instance-1", instanceDir: "/nowhere", controlSocket: "/nowhere/c.sock" },
    clock: realClock,
    logger: openLogger({ file: undefined, process: "test" }),
    situation: () => ({ kind: "none" }),
    closing: new AbortController().signal,
  });
  const tell = async (version: number, values: object): Promise<void> => {
    await parameters.handlers["setParameters"]?.({ version, values }, undefined as never);
  };
  // Nothing is set: there is nothing to leave out, and no second start.
  expect(attemptsOf(parameters)).toEqual([{}]);

  await tell(1, { work_mem: "8MB" });
  expect(attemptsOf(parameters)).toEqual([{ work_mem: "8MB" }, {}]);
  parameters.starting(new Map([["work_mem", "8MB"]]));
  await parameters.serving(server, undefined);
  expect(attemptsOf(parameters)).toEqual([{ work_mem: "8MB" }]);

  await tell(2, { work_mem: "8MB", shared_buffers: "1000GB" });
  expect(attemptsOf(parameters)).toEqual([
    { work_mem: "8MB", shared_buffers: "1000GB" },
    { work_mem: "8MB" },
    {},
  ]);
  // Said late by another line.
  await tell(1, { work_mem: "8MB" });
  expect(attemptsOf(parameters)).toHaveLength(3);
});
