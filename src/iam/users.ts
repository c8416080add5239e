import { z } from "zod";
import { BorealisError, sqlState } from "../base/errors.ts";

/** Of AWS's form: whoever has it can make tokens of it. */
export interface AccessKey {
  readonly id: string;
  readonly secret: string;
  /** ISO 8601. */
  readonly createdAt: string;
}

/** A local principal: no user of PostgreSQL's. */
export interface IamUser {
  readonly name: string;
  /** As which users of PostgreSQL's it may connect: names with * and ?; null: as every one. */
  readonly dbUsers: readonly string[] | null;
  readonly keys: readonly AccessKey[];
}

/** AWS's number: enough to change one for another. */
const keysMax = 2;
const usersMax = 1_000;
const patternsMax = 100;

const keySchema = z.strictObject({
  id: z.string(),
  secret: z.string().min(1),
  createdAt: z.string(),
});
const userSchema = z.strictObject({
  name: z.string(),
  dbUsers: z.array(z.string()).nullable(),
  keys: z.array(keySchema),
});
const bookSchema = z.strictObject({ format: z.literal(1), users: z.array(userSchema) });

/** Every principal of a cluster, with its keys. Nothing in it changes: each verb gives another one. */
export class IamUsers {
  readonly all: readonly IamUser[];

  constructor(all: readonly IamUser[] = []) {
    this.all = all;
  }

  /** Raises 55000 for a text that is none of encode's. */
  static parse(text: string): IamUsers {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      value = undefined; // its message would show a piece of the file
    }
    const parsed = bookSchema.safeParse(value);
    if (parsed.success) return new IamUsers(parsed.data.users);
    throw new BorealisError(
      sqlState.notInPrerequisiteState,
      "the file of access keys cannot be used",
    );
  }

  encode(): string {
    return `${JSON.stringify({ format: 1, users: this.all }, null, 2)}\n`;
  }

  findKey(id: string): { key: AccessKey; owner: IamUser } | undefined {
    for (const owner of this.all) {
      const key = owner.keys.find((one) => one.id === id);
      if (key) return { key, owner };
    }
    return undefined;
  }

  findUser(name: string): IamUser | undefined {
    return this.all.find((one) => one.name === name);
  }

  /** One more key; the user is made if there is none. Raises 54000 for more than AWS would give. */
  withKey(name: string, key: AccessKey): IamUsers {
    const user = this.findUser(name) ?? newUser(name);
    if (user.keys.length >= keysMax)
      throw new BorealisError(
        sqlState.limitExceeded,
        `IAM user ${name} has ${keysMax} access keys, and no user has more`,
        { hint: "delete one first: borealis iam delete-access-key ID" },
      );
    return this.with({ ...user, keys: [...user.keys, key] });
  }

  /** Raises 42704 if there is no such key. Its user stays, and so does what it may. */
  withoutKey(id: string): IamUsers {
    const { owner } = this.findKey(id) ?? {};
    if (!owner) throw missing(`there is no access key ${id}`);
    return this.with({ ...owner, keys: owner.keys.filter((one) => one.id !== id) });
  }

  /** Makes the user if there is none. Raises 22023 for names that cannot be. */
  withPolicy(name: string, dbUsers: readonly string[] | null): IamUsers {
    checkPatterns(dbUsers ?? []);
    return this.with({ ...(this.findUser(name) ?? newUser(name)), dbUsers });
  }

  /** Raises 42704 if there is no such user. */
  withoutUser(name: string): IamUsers {
    this.requireUser(name);
    return new IamUsers(this.all.filter((one) => one.name !== name));
  }

  requireUser(name: string): IamUser {
    const user = this.findUser(name);
    if (!user) throw missing(`there is no IAM user ${name}`);
    return user;
  }

  private with(user: IamUser): IamUsers {
    const others = this.all.filter((one) => one.name !== user.name);
    if (others.length >= usersMax)
      throw new BorealisError(
        sqlState.limitExceeded,
        `there are ${usersMax} IAM users, and no more`,
      );
    return new IamUsers([...others, user].toSorted((a, b) => (a.name < b.name ? -1 : 1)));
  }
}

/** AWS's rule for names of users. Raises 22023. */
function newUser(name: string): IamUser {
  if (/^[\w+=,.@-]{1,64}$/.test(name)) return { name, dbUsers: null, keys: [] };
  throw new BorealisError(sqlState.invalidParameter, "this cannot be the name of an IAM user", {
    hint: "up to 64 letters, digits and +=,.@-_",
  });
}

function checkPatterns(patterns: readonly string[]): void {
  const isFine = patterns.every((one) => one !== "" && one.length <= 63 && !/\p{C}/u.test(one));
  if (isFine && patterns.length <= patternsMax) return;
  throw new BorealisError(
    sqlState.invalidParameter,
    `a policy names up to ${patternsMax} users of PostgreSQL, each of 1 to 63 letters`,
    { hint: "--db-user app,report_*" },
  );
}

function missing(what: string): BorealisError {
  return new BorealisError(sqlState.undefinedObject, what, {
    hint: "borealis iam list-access-keys shows which there are",
  });
}

const idLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/** From 46 fresh random bytes: lengths as AWS's, and an id that nobody takes for one of AWS's (AKIA...). */
export function newAccessKey(random: Buffer, createdAt: string): AccessKey {
  const letters = [...random.subarray(0, 16)].map((byte) => idLetters[byte % idLetters.length]);
  return {
    id: `BKIA${letters.join("")}`,
    secret: random.subarray(16, 46).toString("base64"),
    createdAt,
  };
}
