import { timingSafeEqual } from "node:crypto";
import { matchesName } from "./name-pattern.ts";
import type { AccessKey, IamUser } from "./users.ts";
import { signatureOf } from "./signature.ts";
import { parseToken, type Token } from "./token.ts";

/** What a token is held against. */
export interface TokenFacts {
  /** Who logs in, as PostgreSQL will take it. */
  readonly user: string;
  /** Wall clock. */
  readonly nowMs: number;
  readonly region: string;
  /** Names by which clients reach this cluster's endpoints, in lower case; IPv6 in brackets. */
  readonly hosts: readonly string[];
  /** Of this cluster's endpoints. */
  readonly ports: readonly number[];
  readonly findKey: (accessKeyId: string) => { key: AccessKey; owner: IamUser } | undefined;
}

export type Judgement =
  | { readonly kind: "accepted"; readonly principal: string; readonly accessKeyId: string }
  /** `why` is a sentence for people, and tells nothing of a secret. */
  | { readonly kind: "refused"; readonly why: string };

/** Clocks of others may be ahead by so much: what AWS's clients take for no error of theirs. */
export const skewMaxMs = 5 * 60_000;

/**
 * Whether who sent this text may log in as `user`. A token may be used again while it lives, as on Aurora: pools connect
 * with the same one, and nothing is remembered of it.
 */
export function judgeToken(text: string, facts: TokenFacts): Judgement {
  const parsed = parseToken(text);
  if (parsed.kind === "malformed") return refused(parsed.why);
  const { token } = parsed;
  const isElsewhere = whyElsewhere(token, facts);
  if (isElsewhere !== undefined) return refused(isElsewhere);
  const found = facts.findKey(token.accessKeyId);
  // An unknown key takes as long as a wrong signature.
  const expected = signatureOf(token, found?.key.secret ?? "");
  const isSigned = timingSafeEqual(expected, token.signature);
  if (!found)
    return refused(
      `There is no access key ${shown(token.accessKeyId)} in this cluster; borealis iam list-access-keys shows which there are.`,
    );
  if (!isSigned)
    return refused(
      "The token's signature is wrong: another secret key, or a token that was changed.",
    );
  const isUntimely = whyUntimely(token, facts.nowMs);
  if (isUntimely !== undefined) return refused(isUntimely);
  const { owner } = found;
  if (!mayConnect(owner, facts.user))
    return refused(`The policy of IAM user ${shown(owner.name)} does not name this user.`);
  return { kind: "accepted", principal: owner.name, accessKeyId: found.key.id };
}

/** Without a policy as every user. */
function mayConnect({ dbUsers }: IamUser, user: string): boolean {
  return dbUsers === null || dbUsers.some((pattern) => matchesName(pattern, user));
}

/** Undefined: it is for this cluster and this user. */
function whyElsewhere(token: Token, facts: TokenFacts): string | undefined {
  const { host, port, user, region } = token;
  if (host !== host.toLowerCase())
    return `The token is for host ${shown(host)}; names of hosts in tokens are in lower case.`;
  if (!facts.hosts.includes(host))
    return `The token is for host ${shown(host)}; this cluster's are ${listed(facts.hosts)} (setting iam.hosts).`;
  if (!facts.ports.includes(port))
    return `The token is for port ${port}, which is none of this cluster's endpoints'.`;
  if (region !== facts.region)
    return `The token is for region ${shown(region)}; this cluster's is ${facts.region} (setting iam.region).`;
  if (user !== facts.user)
    return `The token is for user "${shown(user)}"; upper and lower case are not the same.`;
  return undefined;
}

function whyUntimely({ madeAtMs, lifetimeSeconds }: Token, nowMs: number): string | undefined {
  const endMs = madeAtMs + lifetimeSeconds * 1_000;
  if (nowMs >= endMs) return `The token expired at ${timeText(endMs)}; it is ${timeText(nowMs)}.`;
  if (madeAtMs > nowMs + skewMaxMs)
    return `The token was made at ${timeText(madeAtMs)}, and it is ${timeText(nowMs)} here: a clock is wrong.`;
  return undefined;
}

function timeText(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+/, "");
}

const shownMax = 80;
const hostsShownMax = 10;

/** What a stranger wrote, for a log and a message: no letter that ends either, or turns it around. */
function shown(text: string): string {
  const letters = text.replaceAll(/[\p{C}\p{Zl}\p{Zp}]/gu, "?");
  return letters.length > shownMax ? `${letters.slice(0, shownMax)}...` : letters;
}

/** Those that people gave come first; the addresses of each instance's endpoint may be many. */
function listed(hosts: readonly string[]): string {
  const more = hosts.length > hostsShownMax ? ", ..." : "";
  return `${hosts.slice(0, hostsShownMax).join(", ")}${more}`;
}

function refused(why: string): Judgement {
  return { kind: "refused", why };
}
