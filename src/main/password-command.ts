import { z } from "zod";
import { BorealisError, sqlState } from "../base/errors.ts";
import { realEntropy } from "../io/index.ts";
import { formatScramVerifier, makeScramVerifier } from "../wire/index.ts";
import { environment } from "./environment.ts";
import { printJson, readPassword, requireCluster } from "./commands.ts";
import { tell } from "./control-calls.ts";
import { newPassword } from "./create.ts";
import { print } from "./print.ts";
import { replaceFile } from "./replace-file.ts";

interface Options {
  readonly dataDir: string;
  readonly json?: boolean;
}

/** As PostgreSQL makes them (scram-common.h). */
const iterations = 4096;
const saltBytes = 16;
const answerMs = 30_000;

/** Prints what DIR/password keeps. Raises 55000 if nobody here knows it. */
export function passwordShow(options: Options): void {
  const { layout, state } = requireCluster(options);
  const password = readPassword(layout);
  if (password === undefined) {
    throw new BorealisError(
      sqlState.notInPrerequisiteState,
      `nobody here knows the password of ${state.masterUser}: there is no ${layout.passwordFile}`,
      { hint: "borealis password set makes a new one; the one that you know goes on to work" },
    );
  }
  if (options.json) printJson({ user: state.masterUser, password });
  else print(password);
}

/**
 * Another password for the master user, of whom nobody has to know the last one: given, from BOREALIS_PASSWORD, or generated.
 * PostgreSQL gets its verifier only. Raises 22023 for an empty one, 57P03 while nobody writes.
 */
export async function passwordSet(options: Options & { password?: string }): Promise<void> {
  const { layout } = requireCluster(options);
  const password = options.password ?? environment()["BOREALIS_PASSWORD"] ?? newPassword();
  if (password.trim() === "" || /[\r\n\0]/.test(password))
    throw new BorealisError(sqlState.invalidParameter, "a password is one line, and not empty");
  const verifier = makeScramVerifier(password, realEntropy.bytes(saltBytes), iterations);
  const wish = { verifier: formatScramVerifier(verifier) };
  const answer = await tell(layout, "resetPassword", wish, answerMs);
  const { user } = z.object({ user: z.string() }).parse(answer);
  replaceFile(layout.passwordFile, `${password}\n`, { isDurable: true });
  if (options.json) return printJson({ user, password });
  print(`the password of ${user} is another one from now on; borealis url shows it`);
  print("sessions that are open go on");
}
