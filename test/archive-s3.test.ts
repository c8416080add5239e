/** A cluster whose object store is a bucket. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseLsn } from "../src/base/lsn.ts";
import { listArchivedLog } from "../src/volume/index.ts";
import { digestOfArchive, digestOfVolume, openArchive, untilArchived } from "./helpers/archive.ts";
import { makeFolder, runCli, TestCluster, until } from "./helpers/cluster.ts";
import { bucket, rightKeys, S3Service } from "./helpers/s3-service.ts";

let service: S3Service;
let cluster: TestCluster;
let url: string;
beforeAll(async () => {
  service = await S3Service.start();
  url = service.urlOf(`${bucket}/clusters`);
  cluster = await TestCluster.create({
    readers: 1,
    // Given once: the second start has to remember it.
    firstArgs: ["--object-store", url],
    args: ["--set", "archive.intervalMs=500"],
    env: rightKeys,
  });
});
afterAll(async () => {
  await cluster.destroy();
  await service.stop();
});

async function expectWhole(): Promise<void> {
  const to = await untilArchived(cluster);
  const { log, record, close } = await openArchive(cluster, url, rightKeys);
  const from = record.genesisLsn;
  expect(await log.archivedUpTo(from)).toBeGreaterThanOrEqual(to);
  const wanted = await digestOfVolume(cluster, { path: record.history, from, to });
  expect(await digestOfArchive(log, from, to)).toBe(wanted);
  await close();
}

describe("the archive in a bucket", () => {
  it("is the volume's log, under the volume's own name", async () => {
    await cluster.query(
      "CREATE TABLE told AS SELECT n, md5(n::text) AS what FROM generate_series(1, 100000) n",
    );
    await expectWhole();
    const { store, record, close } = await openArchive(cluster, url, rightKeys);
    expect(store.label).toContain(`${bucket}/clusters/${record.volumeId}`);
    await close();
  });

  it("goes on after a restart that does not name it", async () => {
    const { archive } = (await cluster.status()).volume;
    await cluster.down();
    await cluster.up();
    await cluster.query("INSERT INTO told SELECT n, 'again' FROM generate_series(1, 1000) n");
    const to = await untilArchived(cluster);
    expect(to).toBeGreaterThan(parseLsn(archive?.archivedLsn ?? ""));
    await expectWhole();
  });

  it("waits for a service that fails, and goes on by itself", async () => {
    const { store, close } = await openArchive(cluster, url, rightKeys);
    service.shim.plan({ kind: "answer", status: 503, code: "SlowDown" }, /./, 1_000_000);
    await cluster.query("INSERT INTO told SELECT n, 'more' FROM generate_series(1, 50000) n");
    await until("it lags", async () => {
      const { archive } = (await cluster.status()).volume;
      return (archive?.lagBytes ?? 0) > 1_000_000;
    });
    service.shim.forget();
    await expectWhole();
    expect((await listArchivedLog(store)).epochs.length).toBeGreaterThan(0);
    await close();
  });

  it("leaves its keys in no file", () => {
    for (const folder of ["log", "control"]) {
      for (const name of readdirSync(join(cluster.dataDir, folder), { recursive: true })) {
        const path = join(cluster.dataDir, folder, String(name));
        if (/\.(json|log|stderr)/.test(path))
          expect(readFileSync(path, "utf8"), path).not.toContain(rightKeys.AWS_SECRET_ACCESS_KEY);
      }
    }
  });
});

describe("a bucket that is lost while a cluster is there", () => {
  const problem = async (): Promise<string> =>
    (await cluster.status()).volume.archive?.problem ?? "";
  const expectTold = async (words: RegExp): Promise<void> => {
    await until("status says why", async () => words.test(await problem()));
    const { stdout } = await cluster.cli("status");
    expect(stdout).toMatch(new RegExp(`^  archive: .*${words.source}`, "m"));
    await cluster.query("INSERT INTO told VALUES (0, 'all the same')");
  };
  const expectWell = async (): Promise<void> => {
    service.shim.forget();
    await until("all is well", async () => (await problem()) === "");
    await expectWhole();
  };

  it.each([
    ["NoSuchBucket", 404, /there is no bucket borealis-test .*; make it at http:/],
    ["InvalidAccessKeyId", 403, /does not take the key S3RVER .*; correct the access key/],
    ["SlowDown", 503, /the object store is not well .*; it was asked several times/],
  ])("is told of in status, with what to do: %s", async (code, status, words) => {
    await cluster.query("INSERT INTO told VALUES (0, 'before')");
    service.shim.plan({ kind: "answer", status, code }, /./, 1_000_000);
    await cluster.query("INSERT INTO told VALUES (0, 'after')");
    await expectTold(words);
    await expectWell();
  });

  it("is told of in status when nobody listens at the endpoint", async () => {
    const { port } = service.shim;
    await service.shim.close();
    await cluster.query("INSERT INTO told VALUES (0, 'after')");
    await expectTold(/cannot be reached .*ECONNREFUSED.*; is the endpoint right/);
    await service.shim.listen(port);
    await expectWell();
  });

  it("is told of at a start, which goes on without it", async () => {
    await cluster.down();
    service.shim.plan({ kind: "answer", status: 404, code: "NoSuchBucket" }, /./, 1_000_000);
    await cluster.up();
    expect(cluster.output).toMatch(
      /^borealis: starting without the object store, .*: there is no bucket borealis-test .*; make it at http:.*$/m,
    );
    await expectTold(/there is no bucket borealis-test .*; make it at http:/);
    await expectWell();
  });

  it("is told of when its keys are not here", async () => {
    await cluster.down();
    const without = await TestCluster.create({
      dataDir: cluster.dataDir,
      port: cluster.port,
      readers: 1,
      env: { AWS_ACCESS_KEY_ID: "", HOME: cluster.dataDir },
    });
    expect(without.output).toMatch(/^borealis: starting without .*: no keys for s3:.*; set AWS_/m);
    await until("status says why", async () => {
      const { archive } = (await without.status()).volume;
      return /no keys for s3:.*; set AWS_ACCESS_KEY_ID/.test(archive?.problem ?? "");
    });
    await without.down();
    await cluster.up();
    await expectWell();
  });
});

describe("an object store that cannot be used", () => {
  it("is refused before anything is made", async () => {
    const dataDir = join(makeFolder(), "data");
    const up = (objects: string) =>
      runCli(["up", "--data-dir", dataDir, "--object-store", objects], {
        AWS_ACCESS_KEY_ID: "",
        HOME: dataDir,
      });
    const unknown = await up("ftp://somewhere/else");
    expect(unknown.code).toBe(2);
    expect(unknown.stderr).toMatch(/no object store that can be used here.*file:.*s3:/s);
    const keyless = await up(`s3://${bucket}/x?endpoint=http://127.0.0.1:1`);
    expect(keyless.code).toBe(1);
    expect(keyless.stderr).toMatch(/no keys for s3:/);
    expect(() => readdirSync(dataDir)).toThrow(/ENOENT/);
  });

  const closed = "http://127.0.0.1:1";
  const cases: [string, () => string, Record<string, string>, RegExp][] = [
    [
      "no such bucket",
      () => service.urlOf("no-such-bucket/x"),
      rightKeys,
      /^borealis: there is no bucket no-such-bucket \(.*404 NoSuchBucket.*\); make it at http:.*\n$/,
    ],
    [
      "a key that nobody knows",
      () => service.urlOf(`${bucket}/x`),
      { ...rightKeys, AWS_ACCESS_KEY_ID: "NOBODY" },
      /^borealis: the object store does not take the key NOBODY \(.*\); correct the access key .* from AWS_ACCESS_KEY_ID\n$/,
    ],
    [
      "an endpoint where nobody listens",
      () => `s3://${bucket}/x?endpoint=${closed}`,
      rightKeys,
      /^borealis: the object store at http:\/\/127\.0\.0\.1:1 cannot be reached \(.*ECONNREFUSED.*\); is the endpoint right.*\n$/,
    ],
  ];
  it.each(cases)(
    "is refused in one line that says what to do: %s",
    async (_, objects, env, line) => {
      const dataDir = join(makeFolder(), "data");
      const up = await runCli(["up", "--data-dir", dataDir, "--object-store", objects()], env);
      expect([up.code, up.stdout]).toEqual([1, ""]);
      expect(up.stderr).toMatch(line);
      expect(() => readdirSync(dataDir)).toThrow(/ENOENT/);
      const volume = "11111111-2222-3333-4444-555555555555";
      const ofStore = ["--store", objects(), "--volume", volume];
      for (const command of [
        ["snapshot", "list", ...ofStore],
        ["restore", ...ofStore, "--to", "latest", "--into", dataDir],
      ]) {
        const result = await runCli(command, env);
        expect([result.code, result.stdout]).toEqual([1, ""]);
        expect(result.stderr).toMatch(line);
        expect(() => readdirSync(dataDir)).toThrow(/ENOENT/);
      }
    },
  );
});
