/**
 * The admin database: the cluster as tables, for any PostgreSQL client (docs/admin.md). AdminData serves clients that an
 * endpoint has let in. Read conversation.ts (the protocol), command.ts (what a statement is), command-orders.ts (what the
 * cluster can be asked to do), select.ts and expression.ts
 * (SELECT over rows in memory), tables.ts (what there is). Everything but the files named -shell.ts is pure.
 */
export type { AskedCommand, Asker, CommandDoer, CommandWait } from "./cluster-commands-shell.ts";
export { AdminData, type AdminDatabaseOptions } from "./admin-database-shell.ts";
