import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { BorealisError, sqlState } from "../base/errors.ts";
import { IamUsers } from "../iam/index.ts";
import type { Layout } from "../cluster/index.ts";
import { realClock, realRng, realSecretFiles, retry } from "../io/index.ts";
import { takeLock } from "./dir-lock.ts";

/** A change takes a few milliseconds. */
const patienceMs = 10_000;

/** Who may make tokens. Raises 55000 for a file that others may read, or that is none of ours. */
export function readIamUsers({ iamUsersFile }: Layout): IamUsers {
  const text = realSecretFiles.read(iamUsersFile);
  return text === undefined ? new IamUsers() : IamUsers.parse(text);
}

/**
 * Changes it, one command at a time; the proxy sees it with the next token. Gives what it is now. Raises what `change` raises,
 * and 55000 while other commands have it.
 */
export async function changeIamUsers(
  layout: Layout,
  change: (users: IamUsers) => IamUsers,
): Promise<IamUsers> {
  const { iamUsersFile } = layout;
  const folder = dirname(iamUsersFile);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  // By this others know that the lock's process lives: the command line of a checkout need not say so.
  if (!process.title.includes("borealis")) process.title = "borealis";
  const release = await retry(patience, async () => {
    const taken = takeLock(join(folder, "lock"));
    if (taken.kind === "taken") return taken.release;
    throw new BorealisError(
      sqlState.notInPrerequisiteState,
      `another borealis command is changing ${iamUsersFile}`,
      { hint: "try again" },
    );
  });
  try {
    const users = change(readIamUsers(layout));
    realSecretFiles.replace(iamUsersFile, users.encode());
    return users;
  } finally {
    release();
  }
}

const patience = {
  clock: realClock,
  rng: realRng,
  firstDelayMs: 10,
  maxDelayMs: 200,
  deadlineMs: patienceMs,
  mayRetry: (error: unknown): boolean =>
    error instanceof BorealisError && error.code === sqlState.notInPrerequisiteState,
};
