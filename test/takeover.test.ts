/** A writer that dies or freezes is replaced unasked: nothing acknowledged is lost, and it comes back as a reader. */
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { agentSocket } from "../src/cluster/index.ts";
import { connectRpc } from "../src/io/index.ts";
import {
  childrenOf,
  type CliResult,
  commandLine,
  isAlive,
  type Status,
  TestCluster,
  until,
} from "./helpers/cluster.ts";
import { disorderIn, timeline } from "../bench/timeline.ts";
import { signalAll } from "./helpers/signals.ts";
import { statusNow } from "./helpers/control.ts";
import { someOf, wholeIt } from "./helpers/thorough.ts";
import { faultsOf, layoutFor, readEveryLog } from "./helpers/volume-log.ts";
import { Workload } from "./helpers/workload.ts";

let cluster: TestCluster;
beforeAll(async () => {
  // What freezes here is moved on by hand.
  cluster = await TestCluster.create({ args: ["--set", "process.hangMs=0"] });
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

/** Under load: `strike` hits the writer, another one takes over, then `after`; at the end everything is as it should be. */
async function takenOver(
  strike: (writer: Writer) => void | Promise<void>,
  after: (before: Writer) => void | Promise<void> = () => undefined,
): Promise<{ before: Writer; now: string; disorder: string | undefined }> {
  let before: Writer | undefined;
  const beganAt = new Date();
  const settled = await underLoad({
    strike: (writer) => {
      before = writer;
      return strike(writer);
    },
    isOver: ({ writer }) => writer !== before?.id,
    after,
  });
  expect(settled.instances.find((row) => row.id === before?.id)?.role).toBe("reader");
  if (!before) throw new Error("there was a writer");
  const lengthMs = Date.now() - beganAt.getTime();
  const disorder = disorderIn(timeline(cluster.dataDir, { beganAt, lengthMs }));
  return { before, now: settled.cluster.writer ?? "", disorder };
}

/** `strike` hits the writer; in the end somebody writes as `isOver` says, then `after`; and everything is as it should be. */
async function underLoad({
  strike,
  isOver,
  after = () => undefined,
}: {
  readonly strike: (writer: Writer) => void | Promise<void>;
  readonly isOver: (now: Status["cluster"]) => boolean;
  readonly after?: (before: Writer) => void | Promise<void>;
}): Promise<Status> {
  const before = writerOf(await untilSettled());
  const workload = new Workload(cluster);
  await workload.start();
  await strike(before);
  await until("another instance writes", async () => {
    const { cluster: now } = await statusNow(cluster);
    return now.state === "available" && now.writer !== null && isOver(now);
  });
  await workload.untilMore(50);
  await after(before);
  const settled = await untilSettled();
  await workload.untilMore(20);
  await workload.stop();
  for (const endpoint of everywhere) {
    await until(`${endpoint} shows every acknowledged row`, async () => {
      return (await workload.missingOn(endpoint)).length === 0;
    });
  }
  expect(faultsOf(await readEveryLog(cluster.dataDir))).toEqual([]);
  await cluster.query("DROP TABLE promises");
  return settled;
}

describe("another instance takes over", () => {
  it("when the writer's PostgreSQL is killed: the reader of the lowest tier", async () => {
    const { writer } = (await untilSettled()).cluster;
    const readers = ["instance-1", "instance-2", "instance-3"].filter((id) => id !== writer);
    const [, second = ""] = readers;
    await cluster.cli("instance", "modify", second, "--tier", "0");
    const kill = ({ postmaster }: Writer): void => signalAll([postmaster], "SIGKILL");
    const { now, disorder } = await takenOver(kill);
    expect([now, disorder]).toEqual([second, undefined]);
    await cluster.cli("instance", "modify", second, "--tier", "1");
  });

  it("when its agent is killed", async () => {
    const { disorder } = await takenOver(({ agent }) => signalAll([agent], "SIGKILL"));
    expect(disorder).toBeUndefined();
  });

  // A frozen agent alone, whose PostgreSQL goes on, failover.test.ts has.
  someOf(
    ["its agent and all of its PostgreSQL", "its agent"],
    1,
    2,
  )("when %s is frozen, and it comes back as a reader once it is thawed", async (which) => {
    const frozen: number[] = [];
    await takenOver(
      ({ agent, postmaster }) => {
        frozen.push(agent);
        if (which !== "its agent") frozen.push(postmaster, ...childrenOf(postmaster));
        signalAll(frozen, "SIGSTOP");
      },
      async ({ postmaster }) => {
        signalAll(frozen.toReversed(), "SIGCONT");
        await until("the old PostgreSQL is gone", () => !isAlive(postmaster));
      },
    );
  });

  someOf(
    ["all of its PostgreSQL", "its walsender", "its postmaster"],
    0,
    3,
  )(
    "when %s is frozen: it accepts connections, and answers nothing or writes nothing",
    async (which) => {
      const { before } = await takenOver(({ postmaster }) => {
        const children = childrenOf(postmaster);
        const walsenders = children.filter((pid) => commandLine(pid).includes("walsender"));
        if (which === "its walsender") {
          expect(walsenders).toHaveLength(1);
          signalAll(walsenders, "SIGSTOP");
          return;
        }
        signalAll([postmaster], "SIGSTOP");
        if (which !== "its postmaster") signalAll(children, "SIGSTOP");
      });
      expect(isAlive(before.postmaster), "it was killed, not waited for").toBe(false);
    },
  );

  /** How often any reader's processes have said so. */
  const saidByOthers = (writer: string, event: string): number => {
    const dir = `${cluster.dataDir}/log`;
    const names = readdirSync(dir).filter((name) => name.startsWith("instance-"));
    const others = names.filter((name) => !name.startsWith(writer));
    const text = others.map((name) => readFileSync(`${dir}/${name}`, "utf8")).join("\n");
    return text.split(`"event":"${event}"`).length;
  };

  // Before its claim, behind it, before the promotion, and in it.
  const steps = ["appointed", "epoch.opened", "epoch.claimed", "recovery.replayed"];
  someOf(
    [...steps, "recovery.promoted"],
    1,
    5,
  )("though the control plane is killed as soon as the successor's step is %s", async (step) => {
    const control = (await cluster.pids()).get("control-plane") ?? 0;
    await takenOver(async ({ id, postmaster }) => {
      const before = saidByOthers(id, step);
      signalAll([postmaster], "SIGKILL");
      await until(`it is ${step}`, () =>
        step === "appointed" ? appointed() !== id : saidByOthers(id, step) > before,
      );
      signalAll([control], "SIGKILL");
    });
  });

  it("another one still, when the agent of the successor is frozen as soon as it is appointed", async () => {
    let frozen = 0;
    let first = "";
    const { now } = await takenOver(
      async ({ id, postmaster }) => {
        const { instances } = await statusNow(cluster);
        signalAll([postmaster], "SIGKILL");
        await until("a successor is appointed", () => {
          first = appointed();
          return first !== id;
        });
        frozen = instances.find((row) => row.id === first)?.agentPid ?? 0;
        signalAll([frozen], "SIGSTOP");
        await until("it is passed over, or was quicker", async () => {
          const { writer } = (await statusNow(cluster)).cluster;
          return writer !== null && writer !== first;
        });
      },
      () => signalAll([frozen], "SIGCONT"),
    );
    expect(now).not.toBe(first);
  });

  wholeIt(
    "another one still, when PostgreSQL of the reader that would be the best is frozen",
    async () => {
      const { instances } = await untilSettled();
      const best = instances.find((row) => row.role === "reader");
      await cluster.cli("instance", "modify", best?.id ?? "", "--tier", "0");
      const postmaster = best?.postgresPid ?? 0;
      const frozen = [postmaster, ...childrenOf(postmaster)];
      signalAll(frozen, "SIGSTOP");
      const { now } = await takenOver(
        (writer) => signalAll([writer.postmaster], "SIGKILL"),
        () => signalAll(frozen.toReversed(), "SIGCONT"),
      );
      expect(now).not.toBe(best?.id);
      await cluster.cli("instance", "modify", best?.id ?? "", "--tier", "1");
    },
  );
});

/** The process that replays. */
function startupOf(postmaster: number): number[] {
  const found = childrenOf(postmaster).filter((pid) => commandLine(pid).includes("startup"));
  expect(found).toHaveLength(1);
  return found;
}

describe("a reader whose startup process hangs, while all else of it answers", () => {
  /** Somebody else writes, which may be who did before: as a reader that is ready again by then. */
  async function passedOver(
    target: Status["instances"][number] | undefined,
    strike: (writer: Writer) => void | Promise<void>,
  ): Promise<void> {
    const { epoch } = (await untilSettled()).cluster;
    signalAll(startupOf(target?.postgresPid ?? 0), "SIGSTOP");
    const isOver = (now: Status["cluster"]): boolean =>
      now.epoch > epoch && now.writer !== target?.id;
    await underLoad({ strike, isOver });
  }

  wholeIt("is followed by another in a takeover", async () => {
    const { instances } = await untilSettled();
    const best = instances.find((row) => row.role === "reader");
    await cluster.cli("instance", "modify", best?.id ?? "", "--tier", "0");
    await passedOver(best, ({ postmaster }) => signalAll([postmaster], "SIGKILL"));
    const log = readFileSync(`${cluster.dataDir}/log/control-plane.log`, "utf8");
    expect(log).toContain(`"event":"takeover.passedOn","target":"${best?.id}"`);
    await cluster.cli("instance", "modify", best?.id ?? "", "--tier", "1");
  });

  wholeIt("is followed by another in a failover to it, which says so", async () => {
    const { instances } = await untilSettled();
    const target = instances.find((row) => row.role === "reader");
    await passedOver(target, async () => {
      const { code, stderr } = await cluster.cli("failover", "--target", target?.id ?? "");
      expect([code, stderr]).toEqual([1, expect.stringContaining("was given up for one to")]);
    });
  });
});

describe("an order to write that is read too late", () => {
  it("is not carried out: another was appointed meanwhile", async () => {
    const { instances, cluster: before } = await untilSettled();
    const reader = instances.find((row) => row.role === "reader");
    const path = agentSocket(layoutFor(cluster.dataDir), reader?.id ?? "");
    const agent = await connectRpc({ kind: "unix", path });
    signalAll([reader?.agentPid ?? 0], "SIGSTOP");
    const ordered = agent.call("beWriter", { bootstrap: null, sources: [], backtrack: null });
    const withdrawn = agent.call("yieldVolume", { isHurried: true });
    signalAll([reader?.agentPid ?? 0], "SIGCONT");
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
    signalAll([target?.agentPid ?? 0], "SIGSTOP");
    const { code, stderr } = await cluster.cli("failover", "--target", target?.id ?? "");
    signalAll([target?.agentPid ?? 0], "SIGCONT");
    expect(code).toBe(1);
    expect(stderr).toContain(`${target?.id} cannot be promoted: it does not answer`);
    const { cluster: after } = await untilSettled();
    expect([after.writer, after.epoch]).toEqual([before.writer, before.epoch]);
  });
});

describe("a reboot", () => {
  someOf(
    ["writer", "reader"] as const,
    1,
    2,
  )("of a %s starts its PostgreSQL again, in its role", async (role) => {
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
  });
});

/** A file that PostgreSQL reads at its start, and not before, is none of its own. */
function damage({ dataDir }: TestCluster, instance: string): void {
  writeFileSync(join(dataDir, "instances", instance, "data/backup_label"), "damaged\n", {
    mode: 0o644,
  });
}

describe("a writer that is rebooted", () => {
  const saysSo = ({ code, stderr }: CliResult): void =>
    expect([code, stderr]).toEqual([1, expect.stringContaining("was to write meanwhile")]);

  wholeIt(
    "and whose agent freezes meanwhile is replaced like any other, and comes back as a reader",
    async () => {
      const frozen: number[] = [];
      await takenOver(
        async ({ id, agent, postmaster }) => {
          const asked = cluster.cli("instance", "reboot", id);
          // Its PostgreSQL has begun to stop, or has stopped.
          await until("it is being rebooted", async () => {
            const { instances } = await statusNow(cluster);
            const row = instances.find((one) => one.id === id);
            return row?.state !== "available" || row.postgresPid !== postmaster;
          });
          signalAll([agent], "SIGSTOP");
          frozen.push(agent);
          saysSo(await asked);
        },
        () => signalAll(frozen, "SIGCONT"),
      );
    },
  );

  it("and whose PostgreSQL cannot start on its cache is replaced, and comes back on another", async () => {
    const { before } = await takenOver(async ({ id }) => {
      damage(cluster, id);
      saysSo(await cluster.cli("instance", "reboot", id));
    });
    expect(readFileSync(join(cluster.dataDir, "log/control-plane.log"), "utf8")).toContain(
      `"instance":"${before.id}","loss":"unfit"`,
    );
  });

  wholeIt("and whose PostgreSQL hangs is replaced, not waited for", async () => {
    const { before } = await takenOver(async ({ id, postmaster }) => {
      signalAll([postmaster, ...childrenOf(postmaster)], "SIGSTOP");
      // On a slow machine another one is to write before the command has come.
      const { code, stderr } = await cluster.cli("instance", "reboot", id);
      expect(code).not.toBe(0);
      expect(stderr).toMatch(/was to write meanwhile|while the writer is being changed/);
    });
    expect(isAlive(before.postmaster), "it was killed").toBe(false);
  });
});

describe("with one reader", () => {
  wholeIt(
    "that is appointed and then frozen, as the control plane is killed, the old one writes again",
    async () => {
      const pair = await TestCluster.create({ readers: 1, args: ["--set", "process.hangMs=0"] });
      try {
        await pair.query("CREATE TABLE kept AS SELECT 1 AS n");
        const agent = (await pair.pids()).get("instance-2") ?? 0;
        const control = (await pair.pids()).get("control-plane") ?? 0;
        const asked = pair.cli("failover");
        await until("the reader is appointed", () => appointed(pair) === "instance-2");
        signalAll([agent], "SIGSTOP");
        signalAll([control], "SIGKILL");
        await until(
          "the old one writes",
          async () => {
            const { state, writer } = (await statusNow(pair)).cluster;
            return state === "available" && writer === "instance-1";
          },
          60_000,
        );
        signalAll([agent], "SIGCONT");
        // Asked again, of the next control plane: it may have come to either end.
        await asked;
        expect((await pair.query("SELECT count(*)::int AS n FROM kept")).rows).toEqual([{ n: 1 }]);
        await pair.untilEverybody(90_000);
      } finally {
        await pair.destroy();
      }
    },
  );
});

describe("with no reader", () => {
  it("a writer whose PostgreSQL cannot start on its cache has that built again", async () => {
    const alone = await TestCluster.create({ readers: 0 });
    try {
      await alone.query("CREATE TABLE kept AS SELECT 1 AS n");
      const { id } = writerOf(await statusNow(alone));
      const control = join(alone.dataDir, "instances", id, "data/global/pg_control");
      for (const hurt of [() => damage(alone, id), () => rmSync(control)]) {
        const { postmaster } = writerOf(await statusNow(alone));
        hurt();
        signalAll([postmaster], "SIGKILL");
        await until("it writes again", async () => {
          const { cluster: facts, instances } = await statusNow(alone);
          return facts.state === "available" && instances[0]?.postgresPid !== postmaster;
        });
        expect((await alone.query("SELECT count(*)::int AS n FROM kept")).rows).toEqual([{ n: 1 }]);
      }
      expect(readFileSync(join(alone.dataDir, "log", `${id}.log`), "utf8")).toContain(
        "cache.givenUp",
      );
    } finally {
      await alone.destroy();
    }
  });

  it("a writer that died, or answers nothing, starts again where it was", async () => {
    const alone = await TestCluster.create({ readers: 0, args: ["--set", "process.hangMs=0"] });
    try {
      await alone.query("CREATE TABLE kept AS SELECT 1 AS n");
      const blows = [
        ["SIGKILL", "postmaster"],
        ["SIGSTOP", "postmaster"],
        ["SIGSTOP", "agent"],
        ["SIGSTOP", "both"],
      ] as const;
      for (const [blow, whom] of blows) {
        const { postmaster, agent } = writerOf(await statusNow(alone));
        const both = { postmaster: [postmaster], agent: [agent], both: [agent, postmaster] };
        signalAll(both[whom], blow);
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
