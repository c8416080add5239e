/** A snapshot that is damaged in every store is listed as that, and hides none of the others: running, down, and by the store alone. */
import { readFileSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type ListedSnapshot, snapshotRowsSchema } from "../../src/keeper/index.ts";
import { snapshotObject } from "../../src/volume/index.ts";
import { type CliResult, runCli, TestCluster } from "../helpers/cluster.ts";
import { documentIn } from "../helpers/json.ts";
import { openSealer } from "../helpers/volume-sealer.ts";

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await TestCluster.create({ readers: 0 });
});
afterAll(() => cluster.destroy());

function rowsOf({ code, stdout, stderr }: CliResult): ListedSnapshot[] {
  expect(code, stderr).toBe(0);
  return snapshotRowsSchema.parse(documentIn(stdout));
}

function expectShown(rows: readonly ListedSnapshot[]): void {
  const isGood = (id: string): boolean =>
    rows.some((one) => one.id === id && one.problem === null && one.endLsn !== null);
  expect(["genesis", "whole"].map(isGood)).toEqual([true, true]);
  expect(rows.at(-1)).toMatchObject({
    id: "hurt",
    kind: "manual",
    endLsn: null,
    problem: expect.stringMatching(/^it cannot be read: .*damaged/),
  });
}

it("is shown with the others wherever the list is asked for", async () => {
  for (const id of ["hurt", "whole"]) {
    const made = await cluster.cli("snapshot", "create", id);
    expect(made.code, made.stderr).toBe(0);
  }
  await cluster.down();
  const { layout, state } = await openSealer(cluster);
  const full = state.nodes.filter(({ kind }) => kind === "full");
  const folders = [
    `${layout.objectsDir}/${state.volumeId}`,
    ...full.map(({ id }) => `${layout.storageDir}/${id}/objects`),
  ];
  for (const folder of folders) {
    const file = `${folder}/${snapshotObject("hurt")}`;
    const bytes = readFileSync(file);
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
    writeFileSync(file, bytes);
  }
  expectShown(rowsOf(await cluster.cli("snapshot", "list", "--json")));
  const people = await cluster.cli("snapshot", "list");
  expect(people.stdout).toMatch(/^ *hurt +manual .*cannot be read/m);
  const store = [`--store=file:${layout.objectsDir}`, `--volume=${state.volumeId}`];
  const alone = ["snapshot", "list", ...store, `--keys=${layout.keyFile}`, "--json"];
  expectShown(rowsOf(await runCli(alone)));
  await cluster.up();
  expectShown(rowsOf(await cluster.cli("snapshot", "list", "--json")));
});
