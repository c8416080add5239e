import { sleepUntilChange } from "./until-change-shell.ts";
import { closedConnection } from "../io/index.ts";
import {
  encodeAuthenticationOk,
  encodeBackendKey,
  encodeParameterStatus,
  encodeReadyForQuery,
  type StartupParameter,
  transactionState,
} from "../wire/index.ts";
import type { BackendReady } from "./backend-shell.ts";
import { Hold } from "./hold-shell.ts";
import { isSameLife } from "./load-book.ts";
import type { LoggedIn } from "./login-shell.ts";
import type { Borrowing, Template } from "./pool-shell.ts";
import type { Arrival, SharedWorld } from "./session-world-shell.ts";
import { honestyAtStart, idleTimeoutAtStart, parametersForBackend } from "./start-options.ts";
import { defaultWishes } from "./survival-wishes.ts";
import type { Target } from "./topology.ts";
import { lifeToAvoid, type ServerStart, type WantedServer } from "./world-shell.ts";

/** Where endpoints pool, unless a database, a role or a session has it otherwise. */
export interface PoolMode {
  readonly mode: "off" | "auto";
  /** Their ids; empty: all. */
  readonly endpoints: readonly string[];
}

/** How one session takes part in a pool. */
export interface Pooling {
  readonly key: string;
  /** It stays with the instance that it was last on, while that is there: another may show less. */
  readonly sticks: boolean;
  /** What its connections are opened with. */
  readonly parameters: readonly StartupParameter[];
  /** What it was connected with besides: set when it gets a connection. */
  readonly base: ReadonlyMap<string, string>;
  /** idle_session_timeout, where the session has not set another; 0: none. */
  readonly idleTimeoutMs: number;
  at: Target | undefined;
}

/** Undefined: this session has a server of its own from its beginning to its end. */
export function poolingOf(
  { mode, endpoints }: PoolMode,
  endpoint: { readonly id: string; readonly type: string },
  login: LoggedIn,
): Pooling | undefined {
  const { wishes = defaultWishes } = honestyAtStart(login.wishes, login.settings);
  const isHere = mode === "auto" && (endpoints.length === 0 || endpoints.includes(endpoint.id));
  if (!(wishes.isPooled ?? isHere) || login.stamp === undefined) return undefined;
  if (wishes.onFailover === "disconnect" || wishes.consistency !== "off") return undefined;
  const all = parametersForBackend(login.request);
  const names = all.filter(isCarriedAlong);
  const parameters = all.filter((parameter) => !isCarriedAlong(parameter));
  const asked = parameters.map(({ name, value }) => [name, value.toString("latin1")]);
  return {
    key: JSON.stringify([login.stamp, ...asked]),
    sticks: endpoint.type !== "writer",
    parameters,
    base: new Map(names.map(({ name, value }) => [name, value.toString("latin1")])),
    idleTimeoutMs: idleTimeoutAtStart(login.wishes, login.settings),
    at: undefined,
  };
}

/** Clients of one kind differ in it, each with its host's name or its own number. */
function isCarriedAlong({ name, value }: StartupParameter): boolean {
  return (
    name === "application_name" && value.length > 0 && isPrintable.test(value.toString("latin1"))
  );
}

type Attempt<T> = (
  borrowing: Omit<Borrowing, "hasCustom" | "isWanted" | "isNew">,
) => T | undefined | Promise<T | undefined>;

/** Tries at one instance after the other until one has an answer; undefined: none within `holdTimeoutMs`. */
async function atSome<T>(
  shared: SharedWorld,
  arrival: Arrival,
  pooling: Pooling,
  wanted: WantedServer,
  attempt: Attempt<T>,
): Promise<T | undefined> {
  const { lost, holdTimeoutMs, isWanted } = wanted;
  const avoided = lifeToAvoid(wanted);
  const { clock, topology, load } = shared;
  const { seat, client } = arrival;
  const startMs = clock.nowMs();
  const { key, parameters } = pooling;
  // A session that has lost a server counts its waiting itself.
  const hold = lost ? undefined : new Hold(shared);
  for (;;) {
    const target =
      stillThere(pooling, topology) ?? arrival.findTarget(load.choiceAt(clock.nowMs(), avoided));
    if (target && !(avoided && isSameLife(target, avoided))) {
      seat.take(target.instanceId);
      hold?.end();
      const found = await attempt({ target, key, parameters });
      if (found) {
        pooling.at = target;
        return found;
      }
      pooling.at = undefined;
      seat.leave();
      if (isWanted()) load.suspect(target, clock.nowMs());
    }
    const isLate = clock.nowMs() - startMs > holdTimeoutMs;
    if (isLate || client.closed || !isWanted()) {
      hold?.end();
      return undefined;
    }
    hold?.begin();
    await sleepUntilChange(clock, topology);
  }
}

function stillThere(
  { sticks, at }: Pooling,
  topology: SharedWorld["topology"],
): Target | undefined {
  const now = sticks && at ? topology.instance(at.instanceId) : undefined;
  return now && at && isSameLife(now, at) ? now : undefined;
}

/** A server of the pool, where the session belongs at this moment; at once, where nobody has to be waited for. */
export function borrowServer(
  shared: SharedWorld,
  arrival: Arrival,
  pooling: Pooling,
  wanted: WantedServer,
  hasCustom: (name: string) => boolean,
): ServerStart | Promise<ServerStart> {
  const { isWanted, lost, isNew } = wanted;
  const borrow: Attempt<ServerStart> = (borrowing) =>
    shared.pools.borrow({ ...borrowing, isWanted, hasCustom, isNew });
  const search = async (): Promise<ServerStart> => {
    const start = await atSome(shared, arrival, pooling, wanted, borrow);
    if (start?.kind === "ready") shared.load.trust(start.target);
    return start ?? { kind: "nobody" };
  };
  const target = lost ? undefined : sameAsLast(shared, arrival, pooling);
  if (!target) return search();
  const { key, parameters } = pooling;
  const start = borrow({ target, key, parameters });
  if (!(start instanceof Promise)) return start ?? search();
  return start.then((late) => late ?? search());
}

/** Where it was last, if that is where it belongs still. */
function sameAsLast(
  { topology, load, clock }: SharedWorld,
  { findTarget }: Arrival,
  { sticks, at }: Pooling,
): Target | undefined {
  if (!at) return undefined;
  const now = sticks
    ? topology.instance(at.instanceId)
    : findTarget(load.choiceAt(clock.nowMs(), undefined));
  return now && isSameLife(now, at) ? now : undefined;
}

const isPrintable = /^[ -~]*$/;
const nowhere = closedConnection();
// Beyond any pid of a process: nobody takes them for one.
const pidBase = 0x4000_0000;
let lastPid = 0;

/** What a session begins with that has no server yet: as if it had one. */
export async function greetPooled(
  shared: SharedWorld,
  arrival: Arrival,
  pooling: Pooling,
  holdTimeoutMs: number,
): Promise<ServerStart> {
  const { isWanted, clientKey } = arrival;
  const wanted = { lost: undefined, holdTimeoutMs, isWanted };
  const found = await atSome(shared, arrival, pooling, wanted, async (borrowing) => {
    const greeted = await shared.pools.greet({
      ...borrowing,
      isWanted,
      hasCustom: () => false,
    });
    return greeted && { greeted, target: borrowing.target };
  });
  if (!found) return { kind: "nobody" };
  const { greeted, target } = found;
  if (greeted.kind !== "known") return greeted;
  lastPid = (lastPid + 1) % pidBase;
  const parameters = new Map([...greeted.parameters, ...pooling.base]);
  return parkedBackend(target, parameters, { pid: pidBase + lastPid, key: clientKey });
}

function parkedBackend(
  target: Target,
  parameters: Template,
  key: BackendReady["key"],
): BackendReady {
  const greeting = Buffer.concat([
    encodeAuthenticationOk(),
    ...[...parameters].map(([name, value]) => encodeParameterStatus(name, value)),
    encodeBackendKey(key),
    encodeReadyForQuery(transactionState.idle),
  ]);
  return { kind: "ready", target, connection: nowhere, greeting, key, parameters };
}
