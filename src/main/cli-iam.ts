import type { Command } from "commander";
import { type CommonOptions, reporting, running, withCommon } from "./cli-common.ts";
import type { TokenOptions } from "./iam-commands.ts";

interface KeyOptions extends CommonOptions {
  readonly userName: string;
  readonly dbUser?: string;
}

const dbUserMeaning = "users of PostgreSQL, with commas between them; * and ? stand for letters";

/** `borealis iam …`: principals of this cluster, whose access keys make tokens; words are the AWS CLI's. */
export function addIamCommands(program: Command): void {
  const iam = program.command("iam").description("who may log in by tokens (setting iam.enabled)");
  withCommon(iam.command("create-access-key"), "borealis iam create-access-key --user-name ci")
    .description(
      "make an access key, for a user that is made if there is none; shows its secret once",
    )
    .option("--user-name <name>", "the IAM user", "local")
    .option("--db-user <names>", `may connect as these only: ${dbUserMeaning} (default: all)`)
    .action(
      reporting(async (place, options: KeyOptions) => {
        const { accessKeyCreate, namesIn } = await import("./iam-commands.ts");
        const { userName, dbUser } = options;
        return accessKeyCreate(place, userName, dbUser === undefined ? null : namesIn(dbUser));
      }),
    );
  withCommon(iam.command("list-access-keys"), "borealis iam list-access-keys")
    .description("show IAM users, their access keys, and whom they may connect as")
    .option("--user-name <name>", "of this one (default: all)")
    .action(
      running(async (options: CommonOptions & { userName?: string }) =>
        (await import("./iam-commands.ts")).listAccessKeys(options),
      ),
    );
  withCommon(iam.command("delete-access-key"), "borealis iam delete-access-key BKIA...")
    .description("delete an access key: its tokens are refused at once")
    .argument("<id>")
    .action(
      reporting(async (place, id: string) =>
        (await import("./iam-commands.ts")).accessKeyDelete(place, id),
      ),
    );
  addUserCommands(iam);
  withCommon(
    iam.command("generate-db-auth-token"),
    'PGPASSWORD="$(borealis iam generate-db-auth-token --username app)" psql "host=127.0.0.1 user=app sslmode=require"',
  )
    .description("print a token of the newest access key, as aws rds generate-db-auth-token does")
    .requiredOption("--username <name>", "the user of PostgreSQL")
    .option("--endpoint <name>", "writer, reader, an instance or a custom endpoint", "writer")
    .option("--user-name <name>", "whose access key (default: that of the only IAM user)")
    .option("--region <name>", "for another than iam.region")
    .action(
      running(async (options: TokenOptions) =>
        (await import("./iam-commands.ts")).generateDbAuthToken(options),
      ),
    );
}

function addUserCommands(iam: Command): void {
  withCommon(iam.command("put-user-policy"), "borealis iam put-user-policy ci --db-user app,test_*")
    .description("say as whom an IAM user may connect; makes the user if there is none")
    .argument("<name>")
    .requiredOption("--db-user <names>", dbUserMeaning)
    .action(
      running(async (name: string, options: CommonOptions & { dbUser: string }) =>
        (await import("./iam-commands.ts")).putUserPolicy(name, options.dbUser, options),
      ),
    );
  withCommon(iam.command("delete-user-policy"), "borealis iam delete-user-policy ci")
    .description("let an IAM user connect as every member of rds_iam again")
    .argument("<name>")
    .action(
      running(async (name: string, options: CommonOptions) =>
        (await import("./iam-commands.ts")).putUserPolicy(name, null, options),
      ),
    );
  withCommon(iam.command("delete-user"), "borealis iam delete-user ci")
    .description("delete an IAM user with its access keys")
    .argument("<name>")
    .action(
      running(async (name: string, options: CommonOptions) =>
        (await import("./iam-commands.ts")).deleteUser(name, options),
      ),
    );
}
