import type { Command } from "commander";
import { type CommonOptions, reporting, running, withCommon } from "./cli-common.ts";

/** `borealis access …`: from where endpoints take connections. */
export function addAccessCommands(program: Command): void {
  const access = program
    .command("access")
    .description("from which addresses endpoints take connections (setting access.allow)");
  withCommon(access.command("list"), "borealis access list")
    .description("show from where each endpoint takes connections")
    .action(
      running(async (options: CommonOptions) =>
        (await import("./access-commands.ts")).accessList(options),
      ),
    );
  withCommon(access.command("set"), "borealis access set writer --allow 10.0.0.0/8,fd00::/8")
    .description("from now on an endpoint takes connections from these addresses alone")
    .argument("<endpoint>", "writer, reader, an instance or a custom endpoint")
    .requiredOption("--allow <list>", "stretches of addresses, parted by commas; '' for nobody")
    .action(
      reporting(async (place, endpoint: string, options: CommonOptions & { allow: string }) => {
        const [{ accessSet }, { stretchesIn }] = await Promise.all([
          import("./access-commands.ts"),
          import("./stretches.ts"),
        ]);
        return accessSet(place, endpoint, stretchesIn(options.allow));
      }),
    );
  withCommon(access.command("reset"), "borealis access reset writer")
    .description("from now on an endpoint takes connections from where access.allow says")
    .argument("<endpoint>")
    .action(
      reporting(async (place, endpoint: string) =>
        (await import("./access-commands.ts")).accessSet(place, endpoint, null),
      ),
    );
}
