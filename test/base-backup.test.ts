/** A cache that is copied from a PostgreSQL that runs: it says how far it is, and of how much. */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { volumeId } from "../src/base/ids.ts";
import { chooseOsUser, dataDirOf, hydrateFromBackup } from "../src/engine/index.ts";
import { enginesForFile, startStockPostgres } from "./helpers/stock-postgres.ts";

const root = mkdtempSync(join(tmpdir(), "borealis-backup-"));
chmodSync(root, 0o755);
afterAll(() => rmSync(root, { recursive: true, force: true }));

it.each(enginesForFile())("a copy of PostgreSQL $version", async (engine) => {
  const source = await startStockPostgres(engine);
  try {
    await source.query("CREATE TABLE kept AS SELECT n FROM generate_series(1, 200000) n");
    const instanceDir = join(root, engine.version);
    mkdirSync(instanceDir);
    const told: { doneBytes: number; totalBytes: number | undefined }[] = [];
    const backup = await hydrateFromBackup({
      source: source.address,
      instanceDir,
      volumeId: volumeId("11111111-2222-3333-4444-555555555555"),
      osUser: await chooseOsUser(),
      untilUsable: () => Promise.resolve(),
      onProgress: (doneBytes, totalBytes) => told.push({ doneBytes, totalBytes }),
      signal: new AbortController().signal,
    });
    expect(backup.endLsn).toBeGreaterThan(backup.startLsn);
    expect(existsSync(join(dataDirOf(instanceDir), "backup_label"))).toBe(true);
    const { doneBytes = 0 } = told.at(-1) ?? {};
    const totals = new Set(told.map(({ totalBytes }) => totalBytes));
    // From the first word on, and the same at each: what PostgreSQL has counted, but for the tar's own bytes.
    expect(totals.size).toBe(1);
    for (const totalBytes of totals) {
      expect(doneBytes).toBeGreaterThan((totalBytes ?? Infinity) * 0.9);
      expect(doneBytes).toBeLessThan((totalBytes ?? 0) * 1.2);
    }
  } finally {
    await source.stop();
  }
});
