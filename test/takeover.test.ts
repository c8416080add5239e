/** A writer that dies or freezes is replaced unasked: nothing acknowledged is lost, and it comes back as a reader. */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { agentSocket } from "../src/cluster/index.ts";
import { connectRpc } from "../src/io/index.ts";
import { childrenOf, isAlive, type Status, TestCluster, until } from "./helpers/cluster.ts";
import { statusNow } from "./helpers/control.ts";
import { faultsOf, layoutFor, readEveryLog } from "./helpers/volume-log.ts";
import { Workload } from "./helpers/workload.ts";

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await TestCluster.create();
});
afterAll(() => cluster.destroy());

const everywhere = ["writer", "instance-1", "instance-2", "instance-3"] as const;

interface Writer {
  readonly id: string;
  readonly agent: number;
  readonly postmaster: number;
}

function writerOf({ instances, cluster: facts }: Status): Writer {
  const row = instances.find((one) => one.id === facts.writer);
  expect(row, "there is a writer").toBeDefined();
  return { id: row?.id ?? "", agent: row?.agentPid ?? 0, postmaster: row?.postgresPid ?? 0 };
}

async function untilSettled(): Promise<Status> {
  await cluster.untilEverybody(90_000);
  return statusNow(cluster);
}

function appointed(of = cluster): string {
  const { stateFile } = layoutFor(of.dataDir);
  return (JSON.parse(readFileSync(stateFile, "utf8")) as { writer: string }).writer;
}

/** Kills what is there; a process may have ended meanwhile. */
function signal(pids: readonly number[], name: NodeJS.Signals): void {
  for (const pid of pids) {
    try {
      process.kill(pid, name);
    } catch {
      // Gone.
    }
  }
}

/** Under load: `strike` hits the writer, another one takes over, then `after`; at the end everything is as it should be. */
async function takenOver(
  strike: (writer: Writer) => void | Promise<void>,
  after: (before: Writer) => void | Promise<void> = () => undefined,
): Promise<{ before: Writer; now: string }> {
  const before = writerOf(await untilSettled());
  const workload = new Workload(cluster);
  await workload.start();
  await strike(before);
  await until("another instance writes", async () => {
    const { writer, state } = (await statusNow(cluster)).cluster;
    return state === "available" && writer !== null && writer !== before.id;
  });
  await workload.untilMore(50);
  await after(before);
  const settled = await untilSettled();
  await workload.untilMore(20);
  await workload.stop();
  expect(settled.instances.find((row) => row.id === before.id)?.role).toBe("reader");
  for (const endpoint of everywhere) {
    await until(`${endpoint} shows every acknowledged row`, async () => {
      return (await workload.missingOn(endpoint)).length === 0;
    });
  }
  expect(faultsOf(await readEveryLog(cluster.dataDir))).toEqual([]);
  await cluster.query("DROP TABLE promises");
  return { before, now: settled.cluster.writer ?? "" };
}

describe("another instance takes over", () => {
  it("when the writer's PostgreSQL is killed: the reader of the lowest tier", async () => {
    const { writer } = (await untilSettled()).cluster;
    const readers = ["instance-1", "instance-2", "instance-3"].filter((id) => id !== writer);
    const [, second = ""] = readers;
    await cluster.cli("instance", "modify", second, "--tier", "0");
    const { now } = await takenOver(({ postmaster }) => signal([postmaster], "SIGKILL"));
    expect(now).toBe(second);
    await cluster.cli("instance", "modify", second, "--tier", "1");
  });

  it("when its agent is killed", async () => {
    await takenOver(({ agent }) => signal([agent], "SIGKILL"));
  });

  it.each([
    ["its agent and all of its PostgreSQL", true, true],
    ["its agent", true, false],
  ])(
    "when %s is frozen, and it comes back as a reader once it is thawed",
    async (_, hasAgent, hasPostgres) => {
      const frozen: number[] = [];
      await takenOver(
        ({ agent, postmaster }) => {
          if (hasAgent) frozen.push(agent);
          if (hasPostgres) frozen.push(postmaster, ...childrenOf(postmaster));
          signal(frozen, "SIGSTOP");
        },
        async ({ postmaster }) => {
          signal(frozen.toReversed(), "SIGCONT");
          await until("the old PostgreSQL is gone", () => !isAlive(postmaster));
        },
      );
    },
  );

  it.each(["all of its PostgreSQL", "its postmaster"])(
    "when %s is frozen: it accepts connections and answers nothing",
    async (which) => {
      const { before } = await takenOver(({ postmaster }) => {
        signal([postmaster], "SIGSTOP");
        if (which !== "its postmaster") signal(childrenOf(postmaster), "SIGSTOP");
      });
      expect(isAlive(before.postmaster), "it was killed, not waited for").toBe(false);
    },
  );

  it("though the control plane is killed as soon as the successor is appointed", async () => {
    const control = (await cluster.pids()).get("control-plane") ?? 0;
    await takenOver(async ({ id, postmaster }) => {
      signal([postmaster], "SIGKILL");
      await until("a successor is appointed", () => appointed() !== id);
      signal([control], "SIGKILL");
    });
  });

  it("another one still, when the agent of the successor is frozen as soon as it is appointed", async () => {
    let frozen = 0;
    let first = "";
    const { now } = await takenOver(
      async ({ id, postmaster }) => {
        const { instances } = await statusNow(cluster);
        signal([postmaster], "SIGKILL");
        await until("a successor is appointed", () => {
          first = appointed();
          return first !== id;
        });
        frozen = instances.find((row) => row.id === first)?.agentPid ?? 0;
        signal([frozen], "SIGSTOP");
        await until("it is passed over, or was quicker", async () => {
          const { writer } = (await statusNow(cluster)).cluster;
          return writer !== null && writer !== first;
        });
      },
      () => signal([frozen], "SIGCONT"),
    );
    expect(now).not.toBe(first);
  });

  it("another one still, when PostgreSQL of the reader that would be the best is frozen", async () => {
    const { instances } = await untilSettled();
    const best = instances.find((row) => row.role === "reader");
    await cluster.cli("instance", "modify", best?.id ?? "", "--tier", "0");
    const postmaster = best?.postgresPid ?? 0;
    const frozen = [postmaster, ...childrenOf(postmaster)];
    signal(frozen, "SIGSTOP");
    const { now } = await takenOver(
      (writer) => signal([writer.postmaster], "SIGKILL"),
      () => signal(frozen.toReversed(), "SIGCONT"),
    );
    expect(now).not.toBe(best?.id);
    await cluster.cli("instance", "modify", best?.id ?? "", "--tier", "1");
  });
});

describe("an order to write that is read too late", () => {
  it("is not carried out: another was appointed meanwhile", async () => {
    const { instances, cluster: before } = await untilSettled();
    const reader = instances.find((row) => row.role === "reader");
    const path = agentSocket(layoutFor(cluster.dataDir), reader?.id ?? "");
    const agent = await connectRpc({ kind: "unix", path });
    signal([reader?.agentPid ?? 0], "SIGSTOP");
    const ordered = agent.call("beWriter", { bootstrap: null, sources: [], backtrack: null });
    const withdrawn = agent.call("yieldVolume", { isHurried: true });
    signal([reader?.agentPid ?? 0], "SIGCONT");
    await Promise.all([ordered, withdrawn]);
    agent.close();
    const { cluster: after } = await untilSettled();
    expect([after.writer, after.epoch]).toEqual([before.writer, before.epoch]);
  });
});

describe("a failover to a reader that does not answer", () => {
  it("is refused, and the writer goes on as if nothing had been asked", async () => {
    const { instances, cluster: before } = await untilSettled();
    const target = instances.find((row) => row.role === "reader");
    signal([target?.agentPid ?? 0], "SIGSTOP");
    const { code, stderr } = await cluster.cli("failover", "--target", target?.id ?? "");
    signal([target?.agentPid ?? 0], "SIGCONT");
    expect(code).toBe(1);
    expect(stderr).toContain(`${target?.id} cannot be promoted: it does not answer`);
    const { cluster: after } = await untilSettled();
    expect([after.writer, after.epoch]).toEqual([before.writer, before.epoch]);
  });
});

describe("a reboot", () => {
  it.each(["writer", "reader"] as const)(
    "of a %s starts its PostgreSQL again, in its role",
    async (role) => {
      const before = await untilSettled();
      const row = before.instances.find((one) => one.role === role);
      const workload = new Workload(cluster);
      await workload.start();
      const result = await cluster.cli("instance", "reboot", row?.id ?? "", "--json");
      expect(result.code, result.stderr).toBe(0);
      await workload.untilMore(20);
      await workload.stop();
      const after = await untilSettled();
      const now = after.instances.find((one) => one.id === row?.id);
      expect(now?.role).toBe(role);
      expect(now?.agentPid).toBe(row?.agentPid);
      expect(now?.postgresPid).not.toBe(row?.postgresPid);
      expect(after.cluster.writer).toBe(before.cluster.writer);
      expect(await workload.missingOn("writer")).toEqual([]);
      await cluster.query("DROP TABLE promises");
    },
  );
});

describe("with one reader", () => {
  it("that is appointed and then frozen, as the control plane is killed, the old one writes again", async () => {
    const pair = await TestCluster.create({ readers: 1 });
    try {
      await pair.query("CREATE TABLE kept AS SELECT 1 AS n");
      const agent = (await pair.pids()).get("instance-2") ?? 0;
      const control = (await pair.pids()).get("control-plane") ?? 0;
      const asked = pair.cli("failover");
      await until("the reader is appointed", () => appointed(pair) === "instance-2");
      signal([agent], "SIGSTOP");
      signal([control], "SIGKILL");
      await until(
        "the old one writes",
        async () => {
          const { state, writer } = (await statusNow(pair)).cluster;
          return state === "available" && writer === "instance-1";
        },
        60_000,
      );
      signal([agent], "SIGCONT");
      // Asked again, of the next control plane: it may have come to either end.
      await asked;
      expect((await pair.query("SELECT count(*)::int AS n FROM kept")).rows).toEqual([{ n: 1 }]);
      await pair.untilEverybody(90_000);
    } finally {
      await pair.destroy();
    }
  });
});

describe("with no reader", () => {
  it("a writer that died, or answers nothing, starts again where it was", async () => {
    const alone = await TestCluster.create({ readers: 0 });
    try {
      await alone.query("CREATE TABLE kept AS SELECT 1 AS n");
      for (const blow of ["SIGKILL", "SIGSTOP"] as const) {
        const { postmaster } = writerOf(await statusNow(alone));
        signal([postmaster], blow);
        await until("it writes again", async () => {
          const { cluster: facts, instances } = await statusNow(alone);
          return facts.state === "available" && instances[0]?.postgresPid !== postmaster;
        });
        expect((await alone.query("SELECT count(*)::int AS n FROM kept")).rows).toEqual([{ n: 1 }]);
      }
    } finally {
      await alone.destroy();
    }
  });
});
