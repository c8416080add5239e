import { messageOf } from "../base/errors.ts";
import type { Clock, Logger, SecretFiles } from "../io/index.ts";
import { type Judgement, judgeToken } from "./judgement.ts";
import { IamUsers } from "./users.ts";

export interface TokenJudgeOptions {
  /** Of IamUsers; it is looked at for each token, so that a key that was deleted is gone at once. */
  readonly file: string;
  readonly files: Pick<SecretFiles, "read">;
  readonly clock: Pick<Clock, "wallMs">;
  readonly logger: Logger;
  readonly region: string;
  /** As TokenFacts has them. */
  readonly hosts: readonly string[];
  readonly ports: () => readonly number[];
}

/** Judges tokens by what the command line keeps in a file. Never raises, and keeps no token. */
export class TokenJudge {
  private readonly options: TokenJudgeOptions;
  private read = { text: "", users: new IamUsers() };

  constructor(options: TokenJudgeOptions) {
    this.options = options;
  }

  judge({ token, user }: { readonly token: string; readonly user: string }): Judgement {
    const { clock, region, hosts, ports } = this.options;
    const users = this.usersNow();
    if (!users)
      return {
        kind: "refused",
        why: "The access keys cannot be read; borealis logs proxy says why.",
      };
    return judgeToken(token, {
      user,
      nowMs: clock.wallMs(),
      region,
      hosts,
      ports: ports(),
      findKey: (id) => users.findKey(id),
    });
  }

  /** Undefined if the file cannot be read: nobody gets in by it then, whoever was in it before. */
  private usersNow(): IamUsers | undefined {
    const { files, file, logger } = this.options;
    try {
      const text = files.read(file) ?? "";
      if (text !== this.read.text)
        this.read = { text, users: text === "" ? new IamUsers() : IamUsers.parse(text) };
      return this.read.users;
    } catch (error) {
      logger.error({ event: "iam.keysUnreadable", file }, messageOf(error));
      return undefined;
    }
  }
}
