/**
 * An SQL expression that names one start of one PostgreSQL: the instance and the moment, in microseconds. Sockets do
 * not: the next start listens at the same one.
 */
export const postmasterSql =
  "pg_catalog.current_setting('cluster_name') || ' ' || " +
  "pg_catalog.extract('epoch', pg_catalog.pg_postmaster_start_time())::pg_catalog.text";
