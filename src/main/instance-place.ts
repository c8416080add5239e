import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import { realClock, realRng, retry } from "../io/index.ts";
import {
  instancePort,
  type InstanceState,
  type Layout,
  longestSocketPath,
  socketPathMaxBytes,
} from "../cluster/index.ts";
import { requireFreePorts } from "./ports-check.ts";

/** The proxy may just be leaving the port of an endpoint that is no more. */
const portPatienceMs = 1_500;

/**
 * Whether an instance of that name and number could run on this host. Raises 22023 if its sockets' paths would be too
 * long, 55000 if somebody has its endpoint's port.
 */
export async function requireInstancePlace(
  { id, ordinal }: InstanceState,
  at: { readonly layout: Layout; readonly host: string; readonly port: number },
): Promise<void> {
  const longest = Buffer.byteLength(longestSocketPath(at.layout, id));
  const tooMany = longest - socketPathMaxBytes(process.platform);
  if (tooMany > 0) {
    throw new BorealisError(
      sqlState.invalidParameter,
      `"${id}" is too long: the paths of its sockets would be`,
      { hint: `choose an --id that is at least ${tooMany} letters shorter` },
    );
  }
  await requireEndpointPort(at.host, instancePort(at.port, ordinal), `the endpoint of ${id}`);
}

/** Raises 55000 if somebody has the port of `what`, an endpoint that is to be opened. */
export async function requireEndpointPort(host: string, port: number, what: string): Promise<void> {
  try {
    await retry(
      {
        clock: realClock,
        rng: realRng,
        firstDelayMs: 50,
        maxDelayMs: 200,
        deadlineMs: portPatienceMs,
      },
      () => requireFreePorts(host, [{ port, what, option: "--id" }]),
    );
  } catch (cause) {
    throw new BorealisError(sqlState.notInPrerequisiteState, messageOf(cause), {
      hint: "end what listens there; instance-K listens K + 10 above the writer, custom endpoints from 31 on",
      cause,
    });
  }
}
