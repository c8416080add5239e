import { existsSync, readFileSync } from "node:fs";
import { z } from "zod";
import { BorealisError, sqlState } from "../base/errors.ts";
import type { ClusterState, Layout } from "../cluster/index.ts";
import type { UpOptions } from "./options.ts";
import { replaceFile } from "./replace-file.ts";
import { writeSecret } from "./secret-file.ts";

/** What a cluster was last started with, so that a bare `up` finds it where its users left it. */
const rememberedSchema = z.object({
  host: z.string(),
  port: z.number(),
  httpPort: z.number().optional(),
  tls: z.enum(["off", "prefer", "require"]).optional(),
  postgresBin: z.string().optional(),
  objectStore: z.string().optional(),
});
export type Remembered = z.infer<typeof rememberedSchema>;

function fileOf(layout: Layout): string {
  return `${layout.controlDir}/address.json`;
}

/** Undefined before the first start, and for a file that cannot be used: defaults then. */
export function findRemembered(layout: Layout): Remembered | undefined {
  if (!existsSync(fileOf(layout))) return undefined;
  try {
    return rememberedSchema.parse(JSON.parse(readFileSync(fileOf(layout), "utf8")));
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof z.ZodError) return undefined;
    throw error;
  }
}

export function remember(layout: Layout, options: Remembered): void {
  const { host, port, httpPort, tls, postgresBin, objectStore } = options;
  const text = JSON.stringify({ host, port, httpPort, tls, postgresBin, objectStore });
  replaceFile(fileOf(layout), text, { isDurable: true });
}

/** What was given now counts; what was not is as it was last time. */
export function withRemembered(options: UpOptions, remembered: Remembered | undefined): UpOptions {
  if (!remembered) return options;
  const kept = Object.entries(remembered).filter(([key]) => !options.given.includes(key));
  return { ...options, ...Object.fromEntries(kept) };
}

/** Raises 55000 for an option that counts only at creation and asks for something else than the cluster is. */
export function requireSameBirth(
  options: UpOptions,
  cluster: ClusterState,
  password: string | undefined,
): void {
  const readers = cluster.instances.length - 1;
  // A script that starts it each time says what it was created with.
  const isSameCount = [readers, cluster.readersAtBirth].includes(options.readers);
  const asked: [string, string, boolean, string][] = [
    [
      "user",
      "--user",
      options.user === cluster.masterUser,
      `its master user is ${cluster.masterUser}`,
    ],
    [
      "readers",
      "--readers",
      isSameCount,
      `it has ${readers}; borealis instance add and remove change that`,
    ],
    [
      "superuser",
      "--no-superuser",
      options.superuser === cluster.isSuperuser,
      "it was decided then",
    ],
    [
      "password",
      "--password",
      // Of a restored cluster nobody here may know it.
      password === undefined || options.password === password,
      "change it with ALTER ROLE … PASSWORD",
    ],
  ];
  for (const [key, flag, isSame, fact] of asked) {
    if (isSame || !options.given.includes(key)) continue;
    throw new BorealisError(
      sqlState.notInPrerequisiteState,
      `${flag} counts only when a cluster is created: ${fact}`,
      { hint: `leave ${flag} out to resume the cluster` },
    );
  }
}

/** Where nobody here knew the master user's password (restored from an object store), the one that is given is kept. */
export function keepPassword(layout: Layout, { password }: Pick<UpOptions, "password">): void {
  if (password === undefined || existsSync(layout.passwordFile)) return;
  writeSecret(layout.passwordFile, password);
}
