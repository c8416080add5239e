import type { Command } from "commander";
import { type CommonOptions, reporting, running, withCommon } from "./cli-common.ts";

type Scoped = CommonOptions & { readonly instance?: string };

/** `borealis parameter …`: PostgreSQL's settings, of the cluster and of instances. */
export function addParameterCommands(program: Command): void {
  const parameter = program
    .command("parameter")
    .description("PostgreSQL's settings, of the cluster and of instances (as ALTER SYSTEM)");
  withCommon(parameter.command("list"), "borealis parameter list")
    .description("show what is set, and where it waits for a reboot")
    .action(
      running(async (options: CommonOptions) =>
        (await import("./parameter-commands.ts")).parameterList(options),
      ),
    );
  withCommon(parameter.command("set"), "borealis parameter set work_mem 8MB")
    .description("set one for all instances, or for one")
    .argument("<name>")
    .argument("<value>")
    .option("--instance <id>", "for this one alone")
    .action(
      reporting(async (place, name: string, value: string, options: Scoped) =>
        (await import("./parameter-commands.ts")).parameterSet(
          place,
          name,
          value,
          options.instance ?? null,
        ),
      ),
    );
  withCommon(parameter.command("reset"), "borealis parameter reset work_mem")
    .description("as if it had not been set")
    .argument("<name>", "or ALL")
    .option("--instance <id>", "what was set for this one alone")
    .action(
      reporting(async (place, name: string, options: Scoped) =>
        (await import("./parameter-commands.ts")).parameterReset(
          place,
          name.toUpperCase() === "ALL" ? null : name,
          options.instance ?? null,
        ),
      ),
    );
}
