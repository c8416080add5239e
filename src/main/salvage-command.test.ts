import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { aStoppedCluster } from "../../test/helpers/stopped-cluster.ts";
import { storageSalvage } from "./salvage-command.ts";
import { readSalvage, writeSalvage } from "./salvage-file.ts";

const former = "11111111-2222-4333-8444-555555555555";
const successor = "99999999-2222-4333-8444-555555555555";
const futuresLost = [{ fork: "0/5", end: "0/9", leftAt: "2026-11-28T12:00:00.000Z" }];
const store = "file:/mnt/objects";

let dataDir = "";
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), "borealis-salvage-"));
});
afterEach(() => rmSync(dataDir, { recursive: true, force: true }));

/** Killed when all of the successor was made; `state`: whose control/state.json is. */
function aBuiltSalvage(state: string, isOfEarlierVersion = false) {
  const { layout, state: now } = aStoppedCluster(dataDir, { volumeId: state });
  const draft = `${layout.storageDir}/.successor`;
  for (const dir of [draft, `${layout.objectsDir}/${former}`, `${layout.objectsDir}/${successor}`])
    mkdirSync(dir, { recursive: true });
  writeFileSync(`${draft}/state.json`, JSON.stringify({ ...now, volumeId: successor }));
  writeFileSync(layout.configFile, JSON.stringify({ "objectStore.url": store }));
  const told = isOfEarlierVersion ? {} : { former, futuresLost };
  writeSalvage(layout, { format: 1, successor, isBuilt: true, ...told });
  return layout;
}

async function repeated(json: boolean): Promise<string> {
  const written: string[] = [];
  const out = vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    written.push(String(text));
    return true;
  });
  try {
    await storageSalvage({ dataDir, yes: true, json });
  } finally {
    out.mockRestore();
  }
  return written.join("");
}

describe("a salvage that is repeated after it was built", () => {
  it.each([
    ["before the successor was the cluster's volume", former],
    ["after that", successor],
  ])("tells whose place was taken and what was lost, killed %s", async (_, state) => {
    const layout = aBuiltSalvage(state);
    expect(JSON.parse(await repeated(true))).toMatchObject({
      salvaged: former,
      successor,
      futuresLost,
      objects: { store, volume: former },
    });
    expect(readFileSync(layout.stateFile, "utf8")).toContain(successor);
    expect(existsSync(`${layout.objectsDir}/${former}`)).toBe(false);
    expect(existsSync(`${layout.objectsDir}/${successor}`)).toBe(true);
    expect(readSalvage(layout)).toBeUndefined();
  });

  it("says of no folder that the living volume uses that it may be removed", async () => {
    aBuiltSalvage(successor);
    const text = await repeated(false);
    expect(text).toContain(`in the folder ${former}: remove it`);
    expect(text).not.toContain(`in the folder ${successor}`);
    expect(text).toContain("backtrack --to 0/9");
  });

  it("of an earlier version, which may be the successor's own state, says nothing of that", async () => {
    aBuiltSalvage(successor, true);
    expect(JSON.parse(await repeated(true))).toMatchObject({ salvaged: null, objects: null });
  });
});
