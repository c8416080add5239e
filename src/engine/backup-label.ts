export const backupLabelName = "backup_label";

/**
 * The label of an incremental backup as that of a full one, which it is once its changes are laid over what was before:
 * PostgreSQL refuses to start from a label with these lines (xlogrecovery.c), and pg_combinebackup leaves them out, too.
 */
export function wholeLabel(label: Buffer): Buffer {
  const lines = label.toString("latin1").split("\n");
  const kept = lines.filter((line) => !/^INCREMENTAL FROM (?:LSN|TLI): /.test(line));
  return Buffer.from(kept.join("\n"), "latin1");
}
