import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type Logger, openLogger, realClock } from "../io/index.ts";
import { agentStatus } from "./agent-status.ts";
import type { AgentConfig, InstanceStatus } from "./messages.ts";
import { removeSightFile, SightFile } from "./sight-file-shell.ts";

let instanceDir: string;
let path: string;
let warnings: string[];
beforeEach(() => {
  instanceDir = mkdtempSync(join(tmpdir(), "borealis-sight-"));
  mkdirSync(join(instanceDir, "data"));
  path = join(instanceDir, "data", "borealis_sight.json");
  warnings = [];
  postgresPid = 1;
});
afterEach(() => rmSync(instanceDir, { recursive: true, force: true }));

let postgresPid: number | undefined;

/** A reader. */
function status(): InstanceStatus {
  const agent = { id: "instance-2", role: "reader", incarnation: 1, pid: 1, nowMs: 0 } as const;
  const facts = { state: "available", isAdmitted: true, postgresPid, epoch: 1 } as const;
  const more = { timeline: 1, vdl: undefined, replayLsn: "0/1", lagMs: 0, hasQuorum: true };
  return agentStatus(
    { ...agent, building: undefined, problem: undefined, own: undefined },
    { ...facts, ...more },
  );
}

type Owner = Pick<AgentConfig, "instanceDir" | "osUser">;

function sight(owner: Owner): SightFile {
  const logger: Logger = {
    ...openLogger({ file: undefined, process: "test" }),
    warn: (...words: unknown[]) => void warnings.push(String(words.at(-1))),
  };
  // The test changes its owner meanwhile.
  const config = Object.assign(owner, { instance: "instance-2", volumeId: "v" });
  return new SightFile(config, { clock: realClock, logger }, status);
}

test("what was being written when the agent was killed is gone, so that backups do not meet it", async () => {
  const left = ["pgsql_tmp.borealis_sight.json.0a", ".borealis_sight.json.1b", "postgresql.conf"];
  for (const name of left) writeFileSync(join(instanceDir, "data", name), "");
  await sight({ instanceDir, osUser: null }).write();
  expect(readdirSync(join(instanceDir, "data")).toSorted()).toEqual([
    "borealis_sight.json",
    "postgresql.conf",
  ]);
});

test("one that cannot be written any more is gone rather than old, and the log has it once", async () => {
  // Nobody has such a number: whoever is to own the file cannot be given it.
  const osUser = { name: "nobody", uid: 2 ** 40, gid: 0 };
  const config: Owner = { instanceDir, osUser: null };
  const file = sight(config);
  await file.write();
  expect(JSON.parse(readFileSync(path, "utf8"))).toMatchObject({
    instances: [{ server_id: "instance-2" }],
  });
  config.osUser = osUser;
  for (const _ of [1, 2, 3]) await file.writeBeforeServing();
  expect(existsSync(path)).toBe(false);
  expect(warnings).toHaveLength(1);
  config.osUser = null;
  await file.write();
  expect(existsSync(path)).toBe(true);
  config.osUser = osUser;
  await file.write();
  expect(warnings).toHaveLength(2);
});

test("nothing is put into a folder without a PostgreSQL: it may be on its way out", async () => {
  const file = sight({ instanceDir, osUser: null });
  postgresPid = undefined;
  await file.write();
  expect(readdirSync(join(instanceDir, "data"))).toEqual([]);
  rmSync(join(instanceDir, "data"), { recursive: true });
  postgresPid = 1;
  const writing = file.write();
  postgresPid = undefined;
  await writing;
  expect(warnings).toEqual([]);
});

test("what was left is removed, and nothing is asked of what is not there", async () => {
  await sight({ instanceDir, osUser: null }).write();
  for (const _ of [1, 2]) await removeSightFile({ instanceDir });
  expect(existsSync(path)).toBe(false);
});

test("the next life begins with whom the former one knew, until it is told", async () => {
  const owner = { instanceDir, osUser: null };
  const { id, figures = null } = status();
  const nothing = { vdl: null, replayLsn: null, lagMs: null, figures };
  const other = { ...nothing, id: "instance-1", isWriter: true, address: null, heardAtMs: 1_000 };
  const volume = { protectionGroups: 1, nodes: 6, branchLsn: null };
  const ids = (): unknown => {
    const { instances } = JSON.parse(readFileSync(path, "utf8")) as {
      instances: { server_id: string; session_id: string | null }[];
    };
    return instances.map((row) => [row.server_id, row.session_id]);
  };
  const former = sight(owner);
  former.take({ instances: [other, { ...other, id }], volume });
  await former.write();
  expect(ids()).toEqual([
    ["instance-1", "MASTER_SESSION_ID"],
    ["instance-2", null],
  ]);
  const next = sight(owner);
  await next.write();
  expect(ids()).toEqual([
    ["instance-1", null],
    ["instance-2", null],
  ]);
  next.take({ instances: [{ ...other, id }], volume });
  await next.write();
  expect(ids()).toEqual([["instance-2", null]]);
});
