/**
 * IAM database login: tokens as AWS's tools make them, and the local principals whose access keys sign them. Start with
 * token.ts (what a token is), then judgement.ts (all that is checked of it). users.ts is what the command line changes and
 * TokenJudge reads; session asks TokenJudge for members of rds_iam.
 */
export { endpointHosts } from "./endpoint-hosts.ts";
export { type Judgement, judgeToken, skewMaxMs, type TokenFacts } from "./judgement.ts";
export { makeToken, type TokenWish } from "./signature.ts";
export { TokenJudge, type TokenJudgeOptions } from "./token-judge-shell.ts";
export { type AccessKey, type IamUser, IamUsers, newAccessKey } from "./users.ts";
