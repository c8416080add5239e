import { describe, expect, it } from "vitest";
import { changesBetween, type ClusterSight, EventWatch, type HealedSight } from "./changes.ts";

const calm: ClusterSight = {
  cluster: { id: "c", state: "available", epoch: 3, writer: "instance-1" },
  instances: [
    { id: "instance-1", state: "available", problem: null },
    { id: "instance-2", state: "available", problem: null },
  ],
  storage: [
    { id: "az1-full", nodeId: "a", state: "up", health: "ok" },
    { id: "az1-tail", nodeId: "b", state: "up", health: "ok" },
  ],
  endpoints: [{ id: "writer", type: "writer" }],
  snapshots: [{ id: "s1", kind: "automatic" }],
  damage: null,
  volumeProblem: null,
  archiveProblem: null,
  loginsRefused: 0,
};

function told(before: ClusterSight, after: ClusterSight): string[] {
  return changesBetween(before, after).map(
    ({ sourceType, source, category, message }) =>
      `${sourceType} ${source}, ${category}: ${message}`,
  );
}

describe("what happened between two looks", () => {
  it("is nothing where nothing changed", () => {
    expect(told(calm, calm)).toEqual([]);
  });

  it.each<[string, Partial<ClusterSight>, string[]]>([
    [
      "a failover",
      { cluster: { id: "c", state: "available", epoch: 4, writer: "instance-2" } },
      [
        "instance instance-2, failover: The instance is the writer, in epoch 4 (before: instance-1, in epoch 3).",
      ],
    ],
    [
      "the loss of the writer",
      {
        cluster: { id: "c", state: "failing-over", epoch: 3, writer: null },
        instances: [
          { id: "instance-1", state: "failed", problem: "PostgreSQL ended with 2" },
          { id: "instance-2", state: "available", problem: null },
        ],
      },
      [
        "instance instance-1, failure: The instance is failed (before: available).",
        "instance instance-1, failure: PostgreSQL ended with 2",
        "cluster c, failover: There is no writer at the moment.",
      ],
    ],
    [
      "the loss of the quorum",
      { cluster: { id: "c", state: "degraded", epoch: 3, writer: "instance-1" } },
      ["cluster c, availability: Writes wait: fewer than four storage nodes answer."],
    ],
    [
      "a node that is lost and replaced",
      {
        storage: [
          { id: "az1-full", nodeId: "x", state: "rebuilding", health: null },
          { id: "az1-tail", nodeId: "b", state: "catching-up", health: "full" },
        ],
      },
      [
        "storage az1-full, recovery: The storage node is being replaced by a new one.",
        "storage az1-full, availability: The storage node is rebuilding (before: up).",
        "storage az1-tail, failure: The storage node says that it is full.",
      ],
    ],
    [
      "instances, endpoints and snapshots that come and go",
      {
        instances: [
          { id: "instance-2", state: "available", problem: null },
          { id: "instance-3", state: "starting", problem: null },
        ],
        endpoints: [
          { id: "writer", type: "writer" },
          { id: "instance-3", type: "instance" },
          { id: "reports", type: "custom" },
        ],
        snapshots: [{ id: "s2", kind: "manual" }],
      },
      [
        "instance instance-3, creation: The instance is added.",
        "instance instance-1, deletion: The instance is removed.",
        "endpoint reports, creation: The endpoint is created.",
        "snapshot s2, backup: A manual snapshot is taken.",
        "snapshot s1, deletion: The automatic snapshot is gone.",
      ],
    ],
    [
      "damage, and what does not go on",
      {
        damage: "snapshot s1 is hurt",
        volumeProblem: "no such bucket",
        archiveProblem: "no space",
      },
      [
        "cluster c, failure: Damage: snapshot s1 is hurt",
        "cluster c, failure: Snapshots and the object store: no such bucket",
        "cluster c, failure: The archive of log: no space",
      ],
    ],
  ])("is told of %s", (_, after, events) => {
    expect(told(calm, { ...calm, ...after })).toEqual(events);
  });

  it("is told of a backtrack by what it came to", () => {
    const during = { id: "c", state: "backtracking", epoch: 3, writer: null };
    const done = { id: "c", state: "available", epoch: 4, writer: "instance-2" };
    expect(told({ ...calm, cluster: during }, { ...calm, cluster: done })).toEqual([
      "cluster c, backtrack: The backtrack is done.",
    ]);
  });

  it("is told when it is over, too", () => {
    const degraded = { ...calm, cluster: { ...calm.cluster, state: "degraded" } };
    const hurt = { ...degraded, damage: "snapshot s1 is hurt" };
    expect(told(hurt, calm)).toEqual([
      "cluster c, availability: Writes go on: a write quorum of storage nodes answers.",
      "cluster c, recovery: Damage: no more.",
    ]);
  });
});

describe("a watch", () => {
  it("tells nothing at its first look, and no snapshots as lost of which nobody says anything", () => {
    const watch = new EventWatch();
    expect(watch.look(calm, 0)).toEqual([]);
    expect(watch.look({ ...calm, snapshots: undefined }, 1_000)).toEqual([]);
    expect(watch.look(calm, 2_000)).toEqual([]);
    const [event] = watch.look({ ...calm, snapshots: [] }, 3_000);
    expect(event).toMatchObject({ time: "1970-01-01T00:00:03.000Z", source: "s1" });
  });

  it("tells who writes instead of whom, also where it has seen the cluster without a writer", () => {
    const watch = new EventWatch();
    watch.look(calm, 0);
    for (const epoch of [0, 4])
      watch.look({ ...calm, cluster: { ...calm.cluster, writer: null, epoch } }, 0);
    const cluster = { ...calm.cluster, writer: "instance-2", epoch: 4 };
    const messages = watch.look({ ...calm, cluster }, 0).map(({ message }) => message);
    expect(messages).toEqual([
      "The instance is the writer, in epoch 4 (before: instance-1, in epoch 3).",
    ]);
  });

  it("counts connections that were turned away", () => {
    const watch = new EventWatch();
    const messages = [0, 0, 1].flatMap((connectionsRefused, minute) =>
      watch.look({ ...calm, connectionsRefused }, minute * 60_000).map(({ message }) => message),
    );
    expect(messages).toEqual(["1 connection was turned away before the log-in."]);
  });

  it("counts log-ins that were refused, at once and then once a minute, over restarts of who counts them", () => {
    const watch = new EventWatch();
    const messages: string[] = [];
    const totals = [...Array.from({ length: 100 }, (_, i) => i * 10), ...Array(65).fill(3), 3, 3];
    for (const [second, loginsRefused] of totals.entries())
      for (const { message } of watch.look({ ...calm, loginsRefused }, second * 1_000))
        messages.push(message);
    expect(messages).toEqual([
      "10 log-ins were refused.",
      "600 log-ins were refused.",
      "3 log-ins were refused.",
    ]);
  });

  describe("that is told what was made whole", () => {
    const minuteMs = 60_000;
    /** Looks every five seconds; gives what was told, with the second of it. */
    function toldOf(
      watch: EventWatch,
      looks: readonly (Partial<HealedSight> & { total: number })[],
    ): string[] {
      return looks.flatMap((one, index) => {
        const healed = [{ node: "az1-full", what: "log", process: "1", ...one } as const];
        const events = watch.look({ ...calm, healed }, index * 5_000);
        return events.map(
          ({ sourceType, source, category, message }) =>
            `${index * 5}: ${sourceType} ${source}, ${category}: ${message}`,
        );
      });
    }
    const times = (count: number, total: number): { total: number }[] =>
      Array.from({ length: count }, () => ({ total }));

    it("tells of a scrub that healed thousands once, when it has come to rest", () => {
      const growing = Array.from({ length: 60 }, (_, index) => ({ total: 3 + index * 100 }));
      expect(toldOf(new EventWatch(), [...growing, ...times(60, 5_903)])).toEqual([
        "310: storage az1-full, recovery: The storage node has made 5900 damaged parts of its log whole again.",
      ]);
    });

    it("tells once an hour of what goes on and on", () => {
      const growing = Array.from({ length: 3 * 720 }, (_, total) => ({ total }));
      expect(toldOf(new EventWatch(), growing).map((line) => line.split(":")[0])).toEqual([
        "3605",
        "7210",
      ]);
    });

    it("knows another process by its number, whose count begins at 0", () => {
      const other = [...times(5, 1), ...times(5, 0)].map((one) => ({ ...one, process: "2" }));
      const looks = [...times(5, 1), ...other];
      expect(toldOf(new EventWatch(), looks)).toEqual([
        "40: storage az1-full, recovery: The storage node has made a damaged part of its log whole again.",
      ]);
    });

    it("tells of objects, in a node and in the object store", () => {
      const watch = new EventWatch();
      const of = (totals: readonly [number, number], nowMs: number): string[] => {
        const healed = [
          { node: null, what: "objects", process: "9", total: totals[0] },
          { node: "az2-full", what: "objects", process: "9", total: totals[1] },
        ] as const;
        return watch
          .look({ ...calm, healed }, nowMs)
          .map(({ sourceType, source, message }) => `${sourceType} ${source}: ${message}`);
      };
      expect(of([0, 0], 0)).toEqual([]);
      expect(of([1, 2], 1_000)).toEqual([]);
      expect(of([1, 2], minuteMs)).toEqual([
        "cluster c: A damaged or missing object in the object store was replaced by a good one.",
        "storage az2-full: 2 damaged or missing objects in the storage node were replaced by good ones.",
      ]);
      expect(of([1, 2], 2 * minuteMs)).toEqual([]);
    });
  });
});
