import { autoConfName, dataDirOf, parseAutoConf, readOwned, writeOwned } from "../engine/index.ts";
import type { AgentConfig } from "./messages.ts";
import { goodSchema } from "./parameter-messages.ts";

type Place = Pick<AgentConfig, "instanceDir" | "osUser">;
type Values = ReadonlyMap<string, string>;

const fileBytesMax = 8 * 1024 * 1024;
/** Beside the data directory: it outlives that, as what is good for one cache is for the next. */
const goodName = "parameters.good.json";

/** What PostgreSQL's ALTER SYSTEM has written. */
export async function readAutoConf({ instanceDir }: Pick<Place, "instanceDir">): Promise<Values> {
  return parseAutoConf(await readOwned(`${dataDirOf(instanceDir)}/${autoConfName}`, fileBytesMax));
}

/** With what the instance has started last, and answered; undefined: nobody knows. */
export async function readGood({
  instanceDir,
}: Pick<Place, "instanceDir">): Promise<Values | undefined> {
  try {
    const text = await readOwned(`${instanceDir}/${goodName}`, fileBytesMax);
    return new Map(Object.entries(goodSchema.parse(JSON.parse(text))));
  } catch {
    return undefined; // then it starts with nothing before it does not start
  }
}

export async function writeGood({ instanceDir, osUser }: Place, values: Values): Promise<void> {
  const text = `${JSON.stringify(Object.fromEntries(values))}\n`;
  const path = `${instanceDir}/${goodName}`;
  if ((await readOwned(path, fileBytesMax).catch(() => "")) === text) return;
  await writeOwned(path, text, osUser ?? undefined);
}
