/** Storage nodes that are lost, or replaced, under load: new identities, and nothing acknowledged is missing. */
import { existsSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { isAlive, TestCluster, until } from "../helpers/cluster.ts";
import { someOf } from "../helpers/thorough.ts";
import { Workload } from "../helpers/workload.ts";
import { documentIn } from "../helpers/json.ts";

const names = ["az1-full", "az1-tail", "az2-full", "az2-tail", "az3-full", "az3-tail"];
const pairs = names.flatMap((a, i) => names.slice(i + 1).map((b) => ({ a, b })));
/** Whole zones first: they always run. */
const zonesFirst = pairs.toSorted((x, y) => Number(isZone(y)) - Number(isZone(x)));
function isZone({ a, b }: { readonly a: string; readonly b: string }): boolean {
  return a.slice(0, 3) === b.slice(0, 3);
}

let cluster: TestCluster;
let workload: Workload;
beforeAll(async () => {
  cluster = await TestCluster.create({ readers: 1, args: ["--set", "process.hangMs=0"] });
});
afterAll(() => cluster.destroy());

async function startWork(): Promise<void> {
  workload = new Workload(cluster);
  await workload.start();
}

async function expectEveryPromiseKept(): Promise<void> {
  await workload.untilMore(20);
  await workload.stop();
  for (const endpoint of ["writer", "instance-2"] as const) {
    await until(`${endpoint} shows every acknowledged row`, async () => {
      return (await workload.missingOn(endpoint)).length === 0;
    });
  }
  await cluster.query("DROP TABLE promises");
}

async function nodeIds(): Promise<Map<string, string>> {
  const { storage } = await cluster.status();
  return new Map(storage.map((row) => [row.id, row.nodeId]));
}

/** At once: a node that runs, or is started again meanwhile, makes files there at any moment. */
function removeFolder(id: string): void {
  const gone = `${cluster.dataDir}-gone-${id}`;
  renameSync(`${cluster.dataDir}/storage/${id}`, gone);
  rmSync(gone, { recursive: true, force: true, maxRetries: 10 });
}

/** Process and files. */
async function destroyNodes(ids: readonly string[]): Promise<void> {
  const { storage } = await cluster.status();
  for (const id of ids) {
    const pid = storage.find((row) => row.id === id)?.pid;
    if (typeof pid !== "number") throw new Error(`${id} does not run`);
    process.kill(pid, "SIGKILL");
    removeFolder(id);
  }
}

async function untilRebuilt(before: Map<string, string>, lost: readonly string[]): Promise<void> {
  await until(`${lost.join(" and ")} are rebuilt, and nobody else`, async () => {
    const { storage } = await cluster.status();
    return storage.every((row) => {
      const isNew = row.nodeId !== before.get(row.id);
      return row.state === "up" && isNew === lost.includes(row.id);
    });
  });
}

async function untilAllAreUp(): Promise<void> {
  await until("all nodes are up", async () => {
    const { storage, cluster: facts } = await cluster.status();
    return facts.state === "available" && storage.every((row) => row.state === "up");
  });
}

/** The place in control/state.json: what a control plane that starts now would find. */
function placeOf(id: string): { nodeId: string; next?: { nodeId: string; isMade: boolean } } {
  const text = readFileSync(`${cluster.dataDir}/control/state.json`, "utf8");
  const { nodes } = JSON.parse(text) as { nodes: { id: string; nodeId: string }[] };
  const place = nodes.find((one) => one.id === id);
  if (!place) throw new Error(`no ${id}`);
  return place;
}

async function replaceNode(id: string): Promise<{ replaced: string; by: string }> {
  const { code, stdout, stderr } = await cluster.cli("storage", "replace", id, "--json");
  expect(code, stderr + stdout).toBe(0);
  return documentIn(stdout) as { replaced: string; by: string };
}

function expectNothingLeftAside(): void {
  const aside = `${cluster.dataDir}/storage/.replaced`;
  expect(existsSync(aside) ? readdirSync(aside) : []).toEqual([]);
}

describe("two storage nodes, destroyed under load", () => {
  beforeAll(startWork);
  afterAll(expectEveryPromiseKept);

  someOf(zonesFirst, 6)("$a and $b are rebuilt while writes go on", async ({ a, b }) => {
    const lost = [a, b];
    const before = await nodeIds();
    await destroyNodes(lost);
    await workload.untilMore(20);
    await untilRebuilt(before, lost);
  });

  it("are rebuilt though only their folders were deleted, while they ran", async () => {
    const before = await nodeIds();
    for (const id of ["az1-tail", "az2-full"]) removeFolder(id);
    await untilRebuilt(before, ["az1-tail", "az2-full"]);
  });

  it("are rebuilt though they were wiped while the cluster was down", async () => {
    const before = await nodeIds();
    await workload.stop();
    await cluster.down();
    for (const id of ["az3-full", "az3-tail"]) removeFolder(id);
    await cluster.up();
    await untilRebuilt(before, ["az3-full", "az3-tail"]);
    workload = await workload.goOn();
  });
});

describe("an availability zone and one node more", () => {
  beforeAll(startWork);
  afterAll(expectEveryPromiseKept);

  const cases = [
    { az: "az1", more: "az2-full", how: "frozen" },
    { az: "az2", more: "az3-tail", how: "stopped" },
    { az: "az3", more: "az1-full", how: "frozen" },
  ] as const;
  it.each(cases)("$az and $more, $how: writes wait, reads go on", async ({ az, more, how }) => {
    const before = await nodeIds();
    const row = cases.findIndex((one) => one.az === az);
    const away = [`${az}-full`, `${az}-tail`, more];
    const pids = await cluster.pids();
    const switchNodes = async (verb: "stop" | "start", ids: readonly string[]): Promise<void> => {
      if (how === "stopped") return void (await cluster.cli("storage", verb, ...ids));
      for (const id of ids) {
        const pid = pids.get(id);
        if (pid !== undefined) process.kill(pid, verb === "stop" ? "SIGSTOP" : "SIGCONT");
      }
    };
    await switchNodes("stop", away);
    try {
      await expectWritesToWait(row, () => switchNodes("start", [more]));
    } finally {
      await switchNodes("start", away);
    }
    await untilRebuilt(before, []);
  });

  /** A commit waits while readers and the writer are read; `giveBack` lets it finish. */
  async function expectWritesToWait(row: number, giveBack: () => Promise<void>): Promise<void> {
    const session = await cluster.client();
    let isDone = false;
    const waiting = session.query("INSERT INTO promises VALUES (99, $1)", [row]).then(() => {
      isDone = true;
    });
    for (const endpoint of ["writer", "instance-2"] as const) {
      await until(`${endpoint} is read, and commits wait`, async () => {
        const { rows } = await cluster.query("SELECT count(*)::int AS n FROM promises", endpoint);
        const waits = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        return rows[0].n > 0 && ((await cluster.query(waits)).rowCount ?? 0) > 0;
      });
    }
    expect(isDone).toBe(false);
    await giveBack();
    await waiting;
    await session.end();
  }
});

describe("storage replace", () => {
  beforeEach(startWork);
  afterEach(expectEveryPromiseKept);

  it("replaces a node that is well, twice, and leaves nothing of it", async () => {
    const first = await replaceNode("az1-full");
    const second = await replaceNode("az1-full");
    expect(second.replaced).toBe(first.by);
    expect((await nodeIds()).get("az1-full")).toBe(second.by);
    expectNothingLeftAside();
  });

  it("queues: three that are asked for at once are replaced one after the other", async () => {
    const before = await nodeIds();
    await Promise.all(["az1-tail", "az2-tail", "az3-tail"].map((id) => replaceNode(id)));
    await untilRebuilt(before, ["az1-tail", "az2-tail", "az3-tail"]);
  });

  it("goes on while a node of another zone is frozen", async () => {
    const frozen = (await cluster.pids()).get("az2-tail") ?? 0;
    process.kill(frozen, "SIGSTOP");
    await replaceNode("az1-full");
    process.kill(frozen, "SIGCONT");
  });

  it("refuses a name that is none", async () => {
    const { code, stdout } = await cluster.cli("storage", "replace", "az9-full", "--json");
    expect(code).toBe(2);
    expect(stdout).toContain("there is no storage node");
  });

  const moments = [
    { when: "it has begun", is: (made?: boolean) => made !== undefined },
    { when: "the successor is made", is: (made?: boolean) => made === true },
  ];
  const victims = ["control-plane", "instance-1", "supervisor"];
  const cases = moments.flatMap((moment) => victims.map((victim) => ({ victim, ...moment })));
  someOf(cases, 3)("ends by itself though $victim is killed when $when", async ({ victim, is }) => {
    const id = "az2-full";
    const before = placeOf(id).nodeId;
    const pids = await cluster.pids();
    const victimPid = victim === "supervisor" ? cluster.supervisorPid : (pids.get(victim) ?? 0);
    const asked = cluster.cli("storage", "replace", id);
    await until("it is under way", () => is(placeOf(id).next?.isMade));
    process.kill(victimPid, "SIGKILL");
    await until("it is dead", () => !isAlive(victimPid));
    if (victim === "supervisor") {
      await until("nothing of it runs", () => cluster.processesLeft().length === 0, 10_000);
      await cluster.up();
    }
    await asked;
    await until("the change is done", () => {
      const { nodeId, next } = placeOf(id);
      return next === undefined && nodeId !== before;
    });
    await untilAllAreUp();
    expectNothingLeftAside();
  });

  it("goes on with another successor when the first one is destroyed", async () => {
    const id = "az3-full";
    const before = placeOf(id).nodeId;
    const asked = cluster.cli("storage", "replace", id);
    await until("the successor is made", () => placeOf(id).next?.isMade === true);
    const first = placeOf(id).next?.nodeId;
    removeFolder(id);
    expect((await asked).code).toBe(0);
    await until("there is another at last", () => {
      const { nodeId, next } = placeOf(id);
      return next === undefined && nodeId !== before && nodeId !== first;
    });
    await untilAllAreUp();
  });
});
