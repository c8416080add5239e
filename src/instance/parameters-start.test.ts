import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { openLogger, realClock } from "../io/index.ts";
import { InstanceParameters } from "./parameters-shell.ts";

let instanceDir: string;
beforeEach(async () => {
  instanceDir = await mkdtemp(join(tmpdir(), "parameters-"));
});
afterEach(() => rm(instanceDir, { recursive: true, force: true }));

const server = {
  pid: 7,
  address: { socketDir: "/nowhere", port: 5432, major: 18 },
  rewriteParameters: () => Promise.reject(new Error("nothing is to be written")),
};

function parametersIn(life = "1.1"): InstanceParameters {
  return new InstanceParameters({
    config: {
      instance: "instance-1",
      instanceDir,
      controlSocket: "/nowhere/c.sock",
      osUser: null,
    },
    clock: realClock,
    logger: openLogger({ file: undefined, process: "test" }),
    situation: () => ({ kind: "reader", role: { postgres: server } }),
    life: () => life,
    closing: new AbortController().signal,
  });
}

function call(parameters: InstanceParameters, method: string, params: object): Promise<unknown> {
  return Promise.resolve(parameters.handlers[method]?.(params, undefined as never));
}
const tell = (parameters: InstanceParameters, version: number, values: object) =>
  call(parameters, "setParameters", { version, values });

/** What its PostgreSQL is to be started with, one attempt after the other. */
async function attemptsOf(parameters: InstanceParameters): Promise<object[]> {
  return (await parameters.attempts()).map((values) => Object.fromEntries(values));
}

it("an instance starts with what was set, and without what it does not start with", async () => {
  const parameters = parametersIn();
  await tell(parameters, 1, { work_mem: "8MB" });
  expect(await attemptsOf(parameters)).toEqual([{ work_mem: "8MB" }, {}]);
  parameters.starting(new Map([["work_mem", "8MB"]]));
  await parameters.serving(server, undefined);
  // What it has started with once may be good no more.
  expect(await attemptsOf(parameters)).toEqual([{ work_mem: "8MB" }, {}]);
  expect(await parameters.haveStarted(new Map([["work_mem", "8MB"]]))).toBe(true);
  expect(await parameters.haveStarted(new Map([["work_mem", "9MB"]]))).toBe(false);

  // An agent that was started again knows it.
  const next = parametersIn();
  await tell(next, 2, { work_mem: "8MB", shared_buffers: "1000GB" });
  expect(await attemptsOf(next)).toEqual([
    { work_mem: "8MB", shared_buffers: "1000GB" },
    { work_mem: "8MB" },
    {},
  ]);
  // Said late by another line.
  await tell(next, 1, { work_mem: "8MB" });
  expect(await attemptsOf(next)).toHaveLength(3);
});

it("nothing that was set needs no second attempt", async () => {
  expect(await attemptsOf(parametersIn())).toEqual([{}]);
});

it("what was set on a PostgreSQL that has ended is not said to be kept", async () => {
  const parameters = parametersIn("1.2");
  parameters.starting(new Map());
  await parameters.serving(server, undefined);
  // Of the life before.
  await expect(call(parameters, "keepParameters", { life: "1.1" })).rejects.toMatchObject({
    code: "08007",
  });
  parameters.starting(new Map());
  // Its next one is being started.
  await expect(call(parameters, "keepParameters", { life: "1.2" })).rejects.toMatchObject({
    code: "57P03",
  });
});
