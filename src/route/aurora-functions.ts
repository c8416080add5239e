/**
 * Aurora's functions that Borealis makes in pg_catalog of each database (instance/surface-functions.ts; a test compares the
 * two): they neither write nor set anything, and take no argument.
 */
export const auroraFunctions: ReadonlySet<string> = new Set([
  "aurora_db_instance_identifier",
  "aurora_global_db_instance_status",
  "aurora_global_db_status",
  "aurora_list_builtins",
  "aurora_replica_status",
  "aurora_show_volume_status",
  "aurora_stat_activity",
  "aurora_stat_bgwriter",
  "aurora_stat_wait_type",
  "aurora_version",
  "aurora_volume_logical_start_lsn",
]);
