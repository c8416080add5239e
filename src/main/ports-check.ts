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
  for (const one of wanted) {
    try {
      await tryPort(host, one.port);
    } catch (cause) {
      const isTaken = isErrno(cause, "EADDRINUSE");
      throw cannotListen(host, one, { isTaken, why: messageOf(cause), cause });
    }
  }
}

/** 55000: that port cannot be had. `why`: in the system's words. */
export function cannotListen(
  host: string,
  { port, what, option }: WantedPort,
  { isTaken, why, cause }: { isTaken: boolean; why: string; cause?: unknown },
): BorealisError {
  const [message, hint] = isTaken
    ? [`port ${port} on ${host} (${what}) is taken`, `choose another with ${option}`]
    : [
        `cannot listen on ${host}:${port} (${what}): ${why}`,
        `choose another address or port (--host, ${option})`,
      ];
  return new BorealisError(sqlState.notInPrerequisiteState, message, { hint, cause });
}

function tryPort(host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen({ host, port }, () => server.close(() => resolve()));
  });
}
