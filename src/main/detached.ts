import { once } from "node:events";
import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import { takeEnvironment } from "./environment.ts";

/** The supervisor of `up --detach`: takes its options over IPC, and tells once whether it is ready. */
process.title = "borealis up";
const [told] = await once(process, "message");
const { options, environment } = told as { options: unknown; environment: Record<string, string> };
takeEnvironment(environment);
const { up } = await import("./up.ts");
try {
  await up(options);
  process.exit(0);
} catch (error) {
  const code = error instanceof BorealisError ? error.code : sqlState.internal;
  const hint = error instanceof BorealisError ? error.hint : undefined;
  const failure = {
    error: { code, message: messageOf(error), ...(hint === undefined ? {} : { hint }) },
  };
  if (process.connected) process.send?.(failure, () => process.exit(1));
  else process.exit(1);
}
