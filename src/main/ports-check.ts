import { createServer } from "node:net";
import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import { isErrno } from "./errno.ts";

export interface WantedPort {
  readonly port: number;
  readonly what: string;
  readonly option: string;
}

/** Tries each port for a moment. Raises one error that names the taken port and the option that moves it. */
export async function requireFreePorts(host: string, wanted: readonly WantedPort[]): Promise<void> {
  for (const [index, { port, what }] of wanted.entries()) {
    const twin = wanted.slice(0, index).find((other) => other.port === port);
    if (!twin) continue;
    throw new BorealisError(
      sqlState.invalidParameter,
      `port ${port} would be both ${twin.what} and ${what}`,
      { hint: "choose another with --http-port" },
    );
  }
  for (const { port, what, option } of wanted) {
    try {
      await tryPort(host, port);
    } catch (cause) {
      const taken = isErrno(cause, "EADDRINUSE");
      const why = taken
        ? `port ${port} on ${host} (${what}) is taken`
        : `cannot listen on ${host}:${port} (${what}): ${messageOf(cause)}`;
      throw new BorealisError(sqlState.notInPrerequisiteState, why, {
        hint: taken
          ? `choose another with ${option}`
          : `choose another address or port (--host, ${option})`,
        cause,
      });
    }
  }
}

function tryPort(host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen({ host, port }, () => server.close(() => resolve()));
  });
}
