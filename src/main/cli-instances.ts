import type { Command } from "commander";
import { type CommonOptions, reporting, running, withCommon } from "./cli-common.ts";
import type { EndpointOptions } from "./endpoint-commands.ts";

/** The commands about a cluster's instances, and about the endpoints that lead to several of them. */
export function addInstanceCommands(program: Command): void {
  const instance = program.command("instance").description("the writer and its readers");
  withCommon(instance.command("add"), "borealis instance add --az az2 --tier 0")
    .description("add a reader; returns when it takes sessions (at most 16 instances)")
    .option("--tier <n>", "place in the order of failover, 0 to 15, the lowest first (default: 1)")
    .option("--az <zone>", "az1, az2 or az3 (default: where the fewest instances are)")
    .option("--id <name>", "its name (default: instance-K, the first that is free)")
    .action(
      reporting(
        async (place, options: CommonOptions & { tier?: string; az?: string; id?: string }) =>
          (await import("./instance-commands.ts")).instanceAdd(place, options),
      ),
    );
  withCommon(instance.command("remove"), "borealis instance remove instance-3")
    .description("remove a reader and its cache; returns when nothing of it is left")
    .argument("<id>")
    .action(
      reporting(async (place, id: string) =>
        (await import("./instance-commands.ts")).instanceRemove(place, id),
      ),
    );
  withCommon(instance.command("reboot"), "borealis instance reboot instance-2")
    .description("restart an instance's PostgreSQL; returns when it takes sessions again")
    .argument("<id>")
    .action(
      reporting(async (place, id: string) =>
        (await import("./instance-commands.ts")).instanceReboot(place, id),
      ),
    );
  withCommon(instance.command("modify"), "borealis instance modify instance-2 --tier 0")
    .description("change an instance's place in the order of failover")
    .argument("<id>")
    .requiredOption("--tier <n>", "0 to 15, the lowest first")
    .action(
      reporting(async (place, id: string, options: CommonOptions & { tier: string }) =>
        (await import("./instance-commands.ts")).instanceModify(place, id, options),
      ),
    );
  addEndpointCommands(program);
}

/** `borealis endpoint …`: custom endpoints. */
function addEndpointCommands(program: Command): void {
  const endpoint = program
    .command("endpoint")
    .description("custom endpoints: ports of their own for instances of your choice");
  withLists(
    endpoint.command("create"),
    "borealis endpoint create reports --type reader --static instance-3",
  )
    .description(
      "create a custom endpoint; returns when it listens (at most 5; ports from N+31 on)",
    )
    .argument("<id>", "lower-case letters, digits and single hyphens")
    .requiredOption("--type <type>", "reader: readers only; any: the writer, too")
    .action(
      reporting(async (place, id: string, options: CommonOptions & EndpointOptions) => {
        const { endpointCreate, endpointWish } = await import("./endpoint-commands.ts");
        return endpointCreate(place, id, endpointWish(options));
      }),
    );
  withCommon(endpoint.command("list"), "borealis endpoint list")
    .description("show the custom endpoints, whom they name and where new sessions go now")
    .action(
      running(async (options: CommonOptions) =>
        (await import("./endpoint-commands.ts")).endpointList(options),
      ),
    );
  withLists(
    endpoint.command("modify"),
    "borealis endpoint modify reports --exclude instance-1,instance-2",
  )
    .description("change a custom endpoint's type or list; sessions that are there stay")
    .argument("<id>")
    .option("--type <type>", "reader or any")
    .action(
      reporting(async (place, id: string, options: CommonOptions & EndpointOptions) => {
        const { endpointModify, endpointWish } = await import("./endpoint-commands.ts");
        return endpointModify(place, id, endpointWish(options));
      }),
    );
  withCommon(endpoint.command("delete"), "borealis endpoint delete reports")
    .description("delete a custom endpoint, and end the sessions that came in there")
    .argument("<id>")
    .action(
      reporting(async (place, id: string) =>
        (await import("./endpoint-commands.ts")).endpointDelete(place, id),
      ),
    );
}

function withLists(command: Command, example: string): Command {
  return withCommon(command, example)
    .option("--static <ids>", "exactly these instances, with commas between them")
    .option("--exclude <ids>", "all but these, also those that are added later; '' for all");
}
