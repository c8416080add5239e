import { keyReportSchema, rotationSchema } from "../cluster/index.ts";
import { printJson, requireCluster } from "./commands.ts";
import { connectSupervisor } from "./control-calls.ts";
import { print, printTable } from "./print.ts";

interface Options {
  readonly dataDir: string;
  readonly json?: boolean;
}

/** The supervisor holds the keys; it is asked while the cluster runs. */
async function ask(options: Options, method: string, params: unknown): Promise<unknown> {
  const client = await connectSupervisor(requireCluster(options).layout);
  try {
    return await client.call(method, params, { timeoutMs: 30_000 });
  } finally {
    client.close();
  }
}

export async function keysList(options: Options): Promise<void> {
  const report = keyReportSchema.parse(await ask(options, "keys", {}));
  if (options.json) return printJson(report);
  printTable(
    ["DATA KEY", "CREATED", ""],
    report.keys.map((one) => [String(one.id), one.createdAt, one.isCurrent ? "current" : ""]),
  );
  print(`wrapped by ${report.provider}`);
}

export async function keysRotate(options: Options & { master?: boolean }): Promise<void> {
  const master = options.master ?? false;
  const done = rotationSchema.parse(await ask(options, "rotateKeys", { master }));
  if (options.json) return printJson(done);
  const later = done.waiting.length > 0 ? `; when they start: ${done.waiting.join(", ")}` : "";
  if (master) print("every data key is wrapped by a new master key");
  else print(`new data key ${done.current}, in use by ${done.switched.join(", ")}${later}`);
}
