import { OrderReader } from "./order-reader.ts";
import type { SqlValue } from "./sql-types.ts";
import type { Token } from "./statement-text.ts";

/** Whom a custom endpoint leads to. */
export interface InstanceList {
  readonly kind: "static" | "exclude";
  readonly instances: readonly string[];
}

/** What the cluster is asked for. Null: not said. Whether it can be done is not known here. */
export type ClusterOrder =
  | { readonly kind: "failover"; readonly target: string | null }
  | { readonly kind: "backtrack"; readonly to: string; readonly isDryRun: boolean }
  | { readonly kind: "create snapshot"; readonly id: string | null }
  | { readonly kind: "drop snapshot"; readonly id: string }
  | {
      readonly kind: "add instance";
      readonly id: string | null;
      readonly tier: number | null;
      readonly az: string | null;
    }
  | { readonly kind: "remove instance" | "reboot instance"; readonly id: string }
  | { readonly kind: "alter instance"; readonly id: string; readonly tier: number }
  | {
      readonly kind: "create endpoint" | "alter endpoint";
      readonly id: string;
      readonly type: "reader" | "any" | null;
      readonly list: InstanceList | null;
    }
  | { readonly kind: "drop endpoint"; readonly id: string }
  | { readonly kind: "alter access"; readonly id: string; readonly allow: readonly string[] }
  | { readonly kind: "drop access"; readonly id: string }
  /** An access key, for a principal, who may connect as these users of PostgreSQL's; null: as before. */
  | { readonly kind: "create iam"; readonly id: string; readonly dbUsers: readonly string[] | null }
  | { readonly kind: "drop iam"; readonly id: string }
  | {
      readonly kind: "set parameter";
      readonly id: string;
      readonly value: string;
      readonly instance: string | null;
    }
  /** All of them, if none is named. */
  | {
      readonly kind: "reset parameter";
      readonly id: string | null;
      readonly instance: string | null;
    }
  | { readonly kind: "stop storage" | "start storage"; readonly ids: readonly string[] }
  | { readonly kind: "replace storage"; readonly id: string }
  | { readonly kind: "scrub storage"; readonly id: string | null };

/** A statement that asks the cluster for something. */
export interface OrderStatement {
  /** Of CommandComplete. */
  readonly tag: string;
  /** The highest of its parameters; 0: it has none. */
  readonly parameterCount: number;
  /** Raises 22023 for values that do not fit. */
  readonly orderOf: (values: readonly SqlValue[]) => ClusterOrder;
}

interface Grammar {
  readonly usage: string;
  readonly read: (reader: OrderReader) => ClusterOrder;
}

const grammars: ReadonlyMap<string, Grammar> = new Map<ClusterOrder["kind"], Grammar>([
  [
    "failover",
    {
      usage: "FAILOVER [TO 'instance-2']",
      read: (reader) => ({
        kind: "failover",
        target: reader.accepts("to") ? reader.name() : null,
      }),
    },
  ],
  [
    "backtrack",
    {
      usage: "BACKTRACK TO '-5m' [DRY RUN]",
      read: (reader) => {
        reader.expects("to");
        const to = reader.literal();
        const isDryRun = reader.accepts("dry");
        if (isDryRun) reader.expects("run");
        return { kind: "backtrack", to, isDryRun };
      },
    },
  ],
  [
    "create snapshot",
    {
      usage: "CREATE SNAPSHOT [s1]",
      read: (reader) => ({ kind: "create snapshot", id: reader.maybeName() }),
    },
  ],
  ["drop snapshot", named("drop snapshot", "DROP SNAPSHOT s1")],
  [
    "add instance",
    {
      usage: "ADD INSTANCE ['instance-4'] [TIER 0] [AZ 'az2']",
      read: (reader) => {
        const id = reader.isAt("tier", "az") ? null : reader.maybeName();
        let tier: number | null = null;
        let az: string | null = null;
        reader.clauses({
          tier: () => (tier = reader.tier()),
          az: () => (az = reader.name()),
        });
        return { kind: "add instance", id, tier, az };
      },
    },
  ],
  ["remove instance", named("remove instance", "REMOVE INSTANCE 'instance-3'")],
  ["reboot instance", named("reboot instance", "REBOOT INSTANCE 'instance-3'")],
  [
    "alter instance",
    {
      usage: "ALTER INSTANCE 'instance-3' TIER 0",
      read: (reader) => {
        const id = reader.name();
        reader.expects("tier");
        return { kind: "alter instance", id, tier: reader.tier() };
      },
    },
  ],
  [
    "create endpoint",
    {
      usage:
        "CREATE ENDPOINT reports TYPE reader|any [STATIC ('instance-2', …) | EXCLUDE ('instance-2', …)]",
      read: (reader) => {
        const id = reader.name();
        reader.requireAt("type");
        return { kind: "create endpoint", id, ...endpointClauses(reader) };
      },
    },
  ],
  [
    "alter endpoint",
    {
      usage:
        "ALTER ENDPOINT reports [TYPE reader|any] [STATIC ('instance-2', …) | EXCLUDE ('instance-2', …)]",
      read: (reader) => {
        const id = reader.name();
        reader.requireAt("type", "static", "exclude");
        return { kind: "alter endpoint", id, ...endpointClauses(reader) };
      },
    },
  ],
  ["drop endpoint", named("drop endpoint", "DROP ENDPOINT reports")],
  [
    "alter access",
    {
      usage: "ALTER ACCESS writer ALLOW ('10.0.0.0/8', …)",
      read: (reader) => {
        const id = reader.name();
        reader.expects("allow");
        return { kind: "alter access", id, allow: reader.namesInParentheses() };
      },
    },
  ],
  ["drop access", named("drop access", "DROP ACCESS writer")],
  [
    "create iam",
    {
      usage: "CREATE IAM KEY FOR 'ci' [AS ('app', 'test_*')]",
      read: (reader) => {
        reader.expects("key");
        reader.expects("for");
        const id = reader.name();
        const dbUsers = reader.accepts("as") ? reader.namesInParentheses() : null;
        return { kind: "create iam", id, dbUsers };
      },
    },
  ],
  [
    "drop iam",
    {
      usage: "DROP IAM KEY 'BKIA…'",
      read: (reader) => {
        reader.expects("key");
        return { kind: "drop iam", id: reader.name() };
      },
    },
  ],
  [
    "set parameter",
    {
      usage: "SET PARAMETER work_mem = '8MB'|DEFAULT [FOR 'instance-2']",
      read: (reader) => {
        const id = reader.name();
        const isDefault = reader.assignsDefault();
        const value = isDefault ? "" : reader.assigned();
        const instance = instanceIn(reader);
        if (isDefault) return { kind: "reset parameter", id, instance };
        return { kind: "set parameter", id, value, instance };
      },
    },
  ],
  [
    "reset parameter",
    {
      usage: "RESET PARAMETER work_mem|ALL [FOR 'instance-2']",
      read: (reader) => {
        const id = reader.accepts("all") ? null : reader.name();
        return { kind: "reset parameter", id, instance: instanceIn(reader) };
      },
    },
  ],
  ["stop storage", switching("stop storage", "STOP STORAGE 'az1-full', …")],
  ["start storage", switching("start storage", "START STORAGE 'az1-full', …")],
  ["replace storage", named("replace storage", "REPLACE STORAGE 'az1-full'")],
  [
    "scrub storage",
    {
      usage: "SCRUB STORAGE ['az1-full']",
      read: (reader) => ({ kind: "scrub storage", id: reader.maybeName() }),
    },
  ],
]);

type Named = Extract<ClusterOrder, { readonly id: string }>["kind"] &
  (`drop ${string}` | `re${string}`);

function named(kind: Named, usage: string): Grammar {
  return { usage, read: (reader) => ({ kind, id: reader.name() }) };
}

function switching(kind: "stop storage" | "start storage", usage: string): Grammar {
  return { usage, read: (reader) => ({ kind, ids: reader.names() }) };
}

function instanceIn(reader: OrderReader): string | null {
  return reader.accepts("for") ? reader.name() : null;
}

function endpointClauses(reader: OrderReader): {
  type: "reader" | "any" | null;
  list: InstanceList | null;
} {
  let type: "reader" | "any" | null = null;
  let list: InstanceList | null = null;
  const takeList = (kind: InstanceList["kind"]) => (): void => {
    if (list) throw reader.refusal("STATIC and EXCLUDE cannot be combined");
    list = { kind, instances: reader.namesInParentheses() };
  };
  reader.clauses({
    type: () => (type = reader.endpointType()),
    static: takeList("static"),
    exclude: takeList("exclude"),
  });
  return { type, list };
}

/**
 * What a statement asks the cluster for, by its first words; undefined: it is none of those. Raises 42601 for one that goes on as
 * it should not, 22023 and 54000 for values that cannot be.
 */
export function findOrder(tokens: readonly Token[]): OrderStatement | undefined {
  const [first, second] = tokens;
  if (first?.kind !== "word") return undefined;
  const two = second?.kind === "word" ? `${first.text} ${second.text}` : "";
  const words = grammars.has(two) ? two : first.text;
  const grammar = grammars.get(words);
  if (!grammar) return undefined;
  const rest = tokens.slice(words === two ? 2 : 1);
  const { parameterCount } = orderIn(rest, grammar, undefined);
  return {
    tag: words.toUpperCase(),
    parameterCount,
    orderOf: (values) => orderIn(rest, grammar, values).order,
  };
}

/** Values undefined: they are not known yet. */
function orderIn(
  tokens: readonly Token[],
  { usage, read }: Grammar,
  values: readonly SqlValue[] | undefined,
): { order: ClusterOrder; parameterCount: number } {
  const reader = new OrderReader(tokens, usage, values);
  const order = read(reader);
  reader.end();
  return { order, parameterCount: reader.parameterCount };
}

/** What was asked for, as it could have been written: for logs. What may be a secret is not in it. */
export function orderText(order: ClusterOrder): string {
  const words = [order.kind.toUpperCase()];
  switch (order.kind) {
    case "failover":
      if (order.target !== null) words.push("TO", quoted(order.target));
      break;
    case "backtrack":
      words.push("TO", quoted(order.to));
      if (order.isDryRun) words.push("DRY RUN");
      break;
    case "set parameter":
      words.push(quoted(order.id), "=", shownValue(order), ...scopeOf(order));
      break;
    case "reset parameter":
      words.push(order.id === null ? "ALL" : quoted(order.id), ...scopeOf(order));
      break;
    case "create iam":
      words.push("KEY FOR", quoted(order.id));
      if (order.dbUsers) words.push(`AS (${order.dbUsers.map(quoted).join(", ")})`);
      break;
    case "drop iam":
      words.push("KEY", quoted(order.id));
      break;
    case "stop storage":
    case "start storage":
      words.push(order.ids.map(quoted).join(", "));
      break;
    default:
      if (order.id !== null) words.push(quoted(order.id));
      words.push(...clausesOf(order));
  }
  return words.join(" ");
}

/** Numbers and switches of PostgreSQL's own settings. Any other value may be, or have in it, a password. */
const plainValue =
  /^(?:-?[\d.]{1,20} ?(?:B|[kMGT]B|us|ms|s|min|h|d)?|on|off|true|false|yes|no|default)$/i;

function shownValue({ id, value }: { readonly id: string; readonly value: string }): string {
  return hidesValue({ id, value }) ? "'…'" : quoted(value);
}

function hidesValue({ id, value }: { readonly id: string; readonly value: string }): boolean {
  return id.includes(".") || !plainValue.test(value);
}

/** Whether what becomes of it may name a value that is not to be in a log. */
export function hasSecret(order: ClusterOrder): boolean {
  return order.kind === "set parameter" && hidesValue(order);
}

function scopeOf({ instance }: { readonly instance: string | null }): string[] {
  return instance === null ? [] : ["FOR", quoted(instance)];
}

function clausesOf(order: Extract<ClusterOrder, { readonly id: string | null }>): string[] {
  const words: string[] = [];
  if ("tier" in order && order.tier !== null) words.push(`TIER ${order.tier}`);
  if ("az" in order && order.az !== null) words.push(`AZ ${quoted(order.az)}`);
  if ("type" in order && order.type !== null) words.push(`TYPE ${order.type}`);
  if ("allow" in order) words.push(`ALLOW (${order.allow.map(quoted).join(", ")})`);
  if ("list" in order && order.list) {
    const { kind, instances } = order.list;
    words.push(`${kind.toUpperCase()} (${instances.map(quoted).join(", ")})`);
  }
  return words;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
