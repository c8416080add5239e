import type { ClusterEvent } from "./event-book.ts";
import { type Counted, Gathered } from "./gathered.ts";

/** What is looked at, of a cluster's status and of its snapshots. */
export interface ClusterSight {
  readonly cluster: {
    readonly id: string;
    readonly state: string;
    readonly epoch: number;
    readonly writer: string | null;
  };
  readonly instances: readonly {
    readonly id: string;
    readonly state: string;
    readonly problem: string | null;
  }[];
  readonly storage: readonly {
    readonly id: string;
    readonly nodeId: string;
    readonly state: string;
    readonly health: string | null;
  }[];
  readonly endpoints: readonly { readonly id: string; readonly type: string }[];
  /** Undefined: nobody says at the moment. */
  readonly snapshots: readonly { readonly id: string; readonly kind: string }[] | undefined;
  readonly damage: string | null;
  /** Of the object store and of snapshots. */
  readonly volumeProblem: string | null;
  readonly archiveProblem: string | null;
  /** Log-ins that the endpoints refused since their process started; undefined: nobody says. */
  readonly loginsRefused: number | undefined;
  /** Likewise connections that were turned away before anything of them was read. */
  readonly connectionsRefused?: number | undefined;
  /** Likewise records of the audit that could not be written. */
  readonly auditLost?: number | undefined;
  /** What was made whole; a store of which nobody says anything at the moment is left out. */
  readonly healed?: readonly HealedSight[];
}

export interface HealedSight extends Counted {
  /** A storage node's name; null: the object store. */
  readonly node: string | null;
  readonly what: "log" | "objects";
}

type News = Omit<ClusterEvent, "time">;

/** Of things of one kind. */
function newsOf(sourceType: News["sourceType"]) {
  return (source: string, category: News["category"], message: string): News => ({
    sourceType,
    source,
    category,
    message,
  });
}

/** Nobody else writes in that epoch. */
interface Reign {
  readonly writer: string;
  readonly epoch: number;
}

/**
 * What has happened between two looks at a cluster, in the order in which it is told. `reign`: of who wrote last, if there was
 * no writer any more at the look before.
 */
export function changesBetween(
  before: ClusterSight,
  after: ClusterSight,
  reign = reignOf(before),
): News[] {
  return [
    ...instancesBetween(before, after),
    ...storageBetween(before, after),
    ...clusterBetween(before, after),
    ...reignsBetween(reign, after),
    ...endpointsBetween(before, after),
    ...snapshotsBetween(before, after),
    ...problemsBetween(before, after),
  ];
}

function clusterBetween({ cluster: was }: ClusterSight, { cluster: is }: ClusterSight): News[] {
  const about = newsOf("cluster").bind(undefined, is.id);
  const news: News[] = [];
  if (is.state !== was.state) {
    const what = stateNews[is.state];
    if (what) news.push(about(...what));
    else if (was.state === "degraded" && is.state === "available")
      news.push(about("availability", "Writes go on: a write quorum of storage nodes answers."));
    else if (was.state === "creating" && is.state === "available")
      news.push(about("creation", "The cluster is created."));
  }
  if (was.state === "backtracking" && is.state === "available")
    news.push(about("backtrack", "The backtrack is done."));
  return news;
}

function reignOf({ cluster: { writer, epoch } }: ClusterSight): Reign | undefined {
  return writer === null ? undefined : { writer, epoch };
}

function reignsBetween(was: Reign | undefined, after: ClusterSight): News[] {
  const is = reignOf(after);
  if (!was || !is || is.epoch <= was.epoch) return [];
  const before = was.writer === is.writer ? "before: itself" : `before: ${was.writer}`;
  const message = `The instance is the writer, in epoch ${is.epoch} (${before}, in epoch ${was.epoch}).`;
  return [newsOf("instance")(is.writer, "failover", message)];
}

const stateNews: Readonly<Record<string, [News["category"], string]>> = {
  degraded: ["availability", "Writes wait: fewer than four storage nodes answer."],
  "failing-over": ["failover", "There is no writer at the moment."],
  backtracking: ["backtrack", "The cluster goes back to an earlier moment."],
  stopping: ["availability", "The cluster is stopped."],
};

function instancesBetween(before: ClusterSight, after: ClusterSight): News[] {
  const about = newsOf("instance");
  return [
    ...missing(after.instances, before.instances).map(({ id }) =>
      about(id, "creation", "The instance is added."),
    ),
    ...missing(before.instances, after.instances).map(({ id }) =>
      about(id, "deletion", "The instance is removed."),
    ),
    ...pairs(before.instances, after.instances).flatMap(([was, is]) => {
      const news: News[] = [];
      if (was.state !== is.state) {
        const category = is.state === "failed" ? "failure" : "availability";
        news.push(about(is.id, category, `The instance is ${is.state} (before: ${was.state}).`));
      }
      if (is.problem !== null && is.problem !== was.problem)
        news.push(about(is.id, "failure", is.problem));
      return news;
    }),
  ];
}

function storageBetween(before: ClusterSight, after: ClusterSight): News[] {
  return pairs(before.storage, after.storage).flatMap(([was, is]) => {
    const about = newsOf("storage").bind(undefined, is.id);
    const news: News[] = [];
    if (was.nodeId !== is.nodeId)
      news.push(about("recovery", "The storage node is being replaced by a new one."));
    if (was.state !== is.state && !isCatchingUp(was.state, is.state))
      news.push(
        is.state === "up"
          ? about("recovery", `The storage node is up (before: ${was.state}).`)
          : about("availability", `The storage node is ${is.state} (before: ${was.state}).`),
      );
    if (is.health !== null && is.health !== "ok" && is.health !== was.health)
      news.push(about("failure", `The storage node says that it is ${is.health}.`));
    return news;
  });
}

/** Under load a node is a little behind now and then. */
function isCatchingUp(was: string, is: string): boolean {
  const lively = ["up", "catching-up"];
  return lively.includes(was) && lively.includes(is);
}

function endpointsBetween(before: ClusterSight, after: ClusterSight): News[] {
  const about = newsOf("endpoint");
  const own = ({ endpoints }: ClusterSight): ClusterSight["endpoints"] =>
    endpoints.filter(({ type }) => type === "custom");
  return [
    ...missing(own(after), own(before)).map(({ id }) =>
      about(id, "creation", "The endpoint is created."),
    ),
    ...missing(own(before), own(after)).map(({ id }) =>
      about(id, "deletion", "The endpoint is deleted."),
    ),
  ];
}

function snapshotsBetween(
  { snapshots: was }: ClusterSight,
  { snapshots: is }: ClusterSight,
): News[] {
  if (!was || !is) return [];
  const about = newsOf("snapshot");
  return [
    ...missing(is, was).map(({ id, kind }) => about(id, "backup", `A ${kind} snapshot is taken.`)),
    ...missing(was, is).map(({ id, kind }) =>
      about(id, "deletion", `The ${kind} snapshot is gone.`),
    ),
  ];
}

function problemsBetween(before: ClusterSight, after: ClusterSight): News[] {
  const about = newsOf("cluster").bind(undefined, after.cluster.id);
  const of = (was: string | null, is: string | null, what: string): News[] => {
    if (is === was) return [];
    if (is !== null) return [about("failure", `${what}: ${is}`)];
    return [about("recovery", `${what}: no more.`)];
  };
  return [
    ...of(before.damage, after.damage, "Damage"),
    ...of(before.volumeProblem, after.volumeProblem, "Snapshots and the object store"),
    ...of(before.archiveProblem, after.archiveProblem, "The archive of log"),
  ];
}

interface Named {
  readonly id: string;
}

/** Those that `all` has, and `others` has not. */
function missing<T extends Named>(all: readonly T[], others: readonly Named[]): T[] {
  const ids = new Set(others.map(({ id }) => id));
  return all.filter(({ id }) => !ids.has(id));
}

/** Those that both have, as they were and as they are. */
function pairs<T extends Named>(before: readonly T[], after: readonly T[]): [T, T][] {
  const was = new Map(before.map((one) => [one.id, one]));
  return after.flatMap((one) => {
    const old = was.get(one.id);
    return old ? [[old, one] satisfies [T, T]] : [];
  });
}

const refusedEveryMs = 60_000;

/** Looks at a cluster again and again. */
export class EventWatch {
  private last: ClusterSight | undefined;
  private reign: Reign | undefined;
  private readonly refused = new Increase();
  private readonly healed = new Map<string, Gathered>();
  private readonly turnedAway = new Increase();
  private readonly lost = new Increase();

  /** What has happened since the look before; `nowMs` in milliseconds since 1970. */
  look(sight: ClusterSight, nowMs: number): ClusterEvent[] {
    const { last } = this;
    // Who says nothing has not lost its snapshots.
    this.last = { ...sight, snapshots: sight.snapshots ?? last?.snapshots };
    const news = last ? changesBetween(last, this.last, this.reign) : [];
    this.reign = reignOf(sight) ?? this.reign;
    const time = new Date(nowMs).toISOString();
    news.push(...this.counted(sight, nowMs), ...this.healedSince(sight, nowMs));
    return news.map((one) => ({ time, ...one }));
  }

  /** One a minute at most: somebody may be guessing passwords, or a disk is full. */
  private counted(sight: ClusterSight, nowMs: number): News[] {
    const { cluster, loginsRefused, connectionsRefused, auditLost } = sight;
    const news: News[] = [];
    const turnedAway = this.turnedAway.look(connectionsRefused, nowMs);
    if (turnedAway > 0) {
      const were = turnedAway === 1 ? "connection was" : "connections were";
      const message = `${turnedAway} ${were} turned away before the log-in.`;
      news.push(newsOf("proxy")(cluster.id, "security", message));
    }
    const refused = this.refused.look(loginsRefused, nowMs);
    if (refused > 0) {
      const message = `${refused} ${refused === 1 ? "log-in was" : "log-ins were"} refused.`;
      news.push(newsOf("proxy")(cluster.id, "security", message));
    }
    const lost = this.lost.look(auditLost, nowMs);
    if (lost > 0) {
      const message = `${lost} records of the audit could not be written and are lost.`;
      news.push(newsOf("proxy")(cluster.id, "failure", message));
    }
    return news;
  }

  /** One of a scrub that has healed thousands: at most one an hour of each node. */
  private healedSince({ cluster, healed }: ClusterSight, nowMs: number): News[] {
    const news: News[] = [];
    for (const { node, what, ...counted } of healed ?? []) {
      const key = `${what} ${node}`;
      const gathered = this.healed.get(key) ?? new Gathered();
      this.healed.set(key, gathered);
      const count = gathered.look(counted, nowMs);
      if (count === 0) continue;
      const message = healedText(what, count, node === null ? "object store" : "storage node");
      const about = node === null ? newsOf("cluster") : newsOf("storage");
      news.push(about(node ?? cluster.id, "recovery", message));
    }
    return news;
  }
}

function healedText(what: HealedSight["what"], count: number, where: string): string {
  const one = count === 1;
  if (what === "log")
    return `The storage node has made ${one ? "a damaged part" : `${count} damaged parts`} of its log whole again.`;
  const objects = one ? "A damaged or missing object" : `${count} damaged or missing objects`;
  return `${objects} in the ${where} ${one ? "was" : "were"} replaced by ${one ? "a good one" : "good ones"}.`;
}

/** Of a total that is counted elsewhere: the first rise is told at once, others once a minute. */
class Increase {
  private told: { readonly total: number; readonly atMs: number } | undefined;

  /** By how much it has grown since it was last told, if that is to be told now; else 0. */
  look(total: number | undefined, nowMs: number): number {
    if (total === undefined) return 0;
    const before = this.told;
    if (!before) {
      this.told = { total, atMs: Number.NEGATIVE_INFINITY };
      return 0;
    }
    if (before.total === total || nowMs - before.atMs < refusedEveryMs) return 0;
    this.told = { total, atMs: nowMs };
    // The process that counts has started anew.
    return total >= before.total ? total - before.total : total;
  }
}
