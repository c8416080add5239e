/** The S3 form of object stores, against npm's s3rver, and against a service that people run for real where there is one. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { randomBytes, randomUUID } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { BorealisError } from "../src/base/errors.ts";
import { type Clock, realClock, realDisk, realRng } from "../src/io/index.ts";
import {
  type ObjectStore,
  openS3Store,
  type Relative,
  snapshotObject,
  snapshotPrefix,
  volumeObject,
} from "../src/volume/index.ts";
import { extentOf, objectStoreContract } from "./helpers/object-store-contract.ts";
import { bucket, rightKeys, S3Service } from "./helpers/s3-service.ts";

const name = snapshotObject("one");

/** What a call was refused with. */
async function failureOf(promise: Promise<unknown>): Promise<BorealisError> {
  const error: unknown = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (error instanceof BorealisError) return error;
  throw new Error(`not a BorealisError: ${String(error)}`, { cause: error });
}

const of = (store: ObjectStore, putBeforeMs?: number): Relative => {
  return { volumeId: "parent", store, putBeforeMs };
};

describe("against s3rver", () => {
  let service: S3Service;
  beforeAll(async () => {
    service = await S3Service.start();
  });
  afterAll(() => service.stop());
  beforeEach(() => service.shim.forget());

  const unkept = { wholePuts: "s3rver writes objects in place" };
  objectStoreContract("S3Store", () => service.open(), { unkept });

  it("puts large objects in parts, and pages through listings", async () => {
    const store = await service.open();
    const bytes = randomBytes(11 * 1024 ** 2 + 3);
    await store.put(name, bytes);
    const parts = service.shim.seen.filter((line) => line.includes("partNumber="));
    expect(parts.length).toBe(3);
    expect((await store.get(name))?.equals(bytes)).toBe(true);
    await store.close();
  });

  it.each([
    ["a broken connection", { kind: "drop" }],
    ["503 SlowDown", { kind: "answer", status: 503, code: "SlowDown" }],
    ["500 InternalError", { kind: "answer", status: 500, code: "InternalError" }],
    ["429", { kind: "answer", status: 429, code: "TooManyRequests" }],
    ["a server that says nothing", { kind: "silence" }],
    ["a lost answer", { kind: "loseAnswer" }],
  ] as const)("tries each verb again after %s", async (_, fault) => {
    const store = await service.open({
      limits: fault.kind === "silence" ? { idleTimeoutMs: 1_000 } : {},
    });
    const bytes = randomBytes(100_000);
    const plan = (method: string): void => service.shim.plan(fault, new RegExp(`^${method} `));
    plan("PUT");
    await store.put(name, bytes);
    plan("GET");
    expect((await store.get(name))?.equals(bytes)).toBe(true);
    plan("HEAD");
    expect((await store.has([name])).has(name)).toBe(true);
    plan("GET");
    const found = [];
    for await (const one of store.list(snapshotPrefix)) found.push(one.name);
    expect(found).toEqual([name]);
    plan("POST");
    await store.delete([name]);
    expect(await store.get(name)).toBeUndefined();
    expect(service.shim.isSpent).toBe(true);
    await store.close();
  });

  it("tries each step of an upload in parts again, also when the answer that it is complete is lost", async () => {
    const bytes = randomBytes(6 * 1024 ** 2);
    for (const step of [/^POST .*uploads=/, /^PUT .*partNumber=2/, /^POST .*uploadId=/]) {
      for (const kind of ["drop", "loseAnswer"] as const) {
        const store = await service.open();
        service.shim.plan({ kind }, step);
        await store.put(name, bytes);
        expect(service.shim.isSpent, `${kind} ${step}`).toBe(true);
        expect((await store.get(name))?.equals(bytes)).toBe(true);
        await store.close();
      }
    }
  });

  it("sees an error in an answer that began as a success", async () => {
    const store = await service.open();
    const bytes = randomBytes(6 * 1024 ** 2);
    service.shim.plan({ kind: "answer", status: 200, code: "InternalError" }, /^POST .*uploadId=/);
    await store.put(name, bytes);
    expect(service.shim.isSpent).toBe(true);
    expect((await store.get(name))?.equals(bytes)).toBe(true);
    await store.close();
  });

  it("shows nothing of an upload whose parts fail for good", async () => {
    const store = await service.open();
    service.shim.plan({ kind: "answer", status: 403, code: "AccessDenied" }, /partNumber=2/);
    const error = await failureOf(store.put(name, randomBytes(11 * 1024 ** 2)));
    expect(error.code).toBe("58030");
    expect(await store.get(name)).toBeUndefined();
    expect(service.shim.seen.some((line) => /^DELETE .*uploadId=/.test(line))).toBe(true);
    await store.close();
  });

  it("reads a body that broke off once more", async () => {
    const store = await service.open();
    const bytes = randomBytes(500_000);
    await store.put(name, bytes);
    service.shim.plan({ kind: "truncate", afterBytes: 200_000 }, /^GET /, 2);
    expect((await store.get(name))?.equals(bytes)).toBe(true);
    expect(service.shim.isSpent).toBe(true);
    await store.close();
  });

  it("says so when every body breaks off", async () => {
    const store = await service.open({ limits: { retryMs: 1_000 } });
    await store.put(name, randomBytes(500_000));
    service.shim.plan({ kind: "truncate", afterBytes: 200_000 }, /^GET /, 100);
    const error = await failureOf(store.get(name));
    expect(error.code).toBe("58030");
    expect(error.message).toContain("cannot be reached");
    await store.close();
  });

  it("reads a body that was damaged on the way once more, and calls one that stays so damaged", async () => {
    const store = await service.open({ limits: { retryMs: 3_000 } });
    const bytes = randomBytes(2_000);
    await store.put(name, bytes);
    service.shim.plan({ kind: "flip", atByte: 1_500 }, /^GET /);
    expect((await store.get(name))?.equals(bytes)).toBe(true);
    service.shim.plan({ kind: "flip", atByte: 1_500 }, /^GET /, 100);
    const error = await failureOf(store.get(name));
    expect(error.code).toBe("XX001");
    expect(error.message).toContain(name);
    await store.close();
  });

  it("keeps trying for its time and no longer, then says what the service said", async () => {
    const store = await service.open({ limits: { retryMs: 3_000 } });
    service.shim.plan({ kind: "answer", status: 503, code: "SlowDown" }, /./, 100);
    const error = await failureOf(store.put(name, Buffer.from("x")));
    expect(error.code).toBe("58030");
    expect(error.message).toContain("503 SlowDown");
    expect(service.shim.seen.length).toBeGreaterThan(1);
    await store.close();
  });

  it("does not repeat what is refused for good", async () => {
    const store = await service.open();
    service.shim.plan({ kind: "answer", status: 403, code: "AccessDenied" });
    const error = await failureOf(store.put(name, Buffer.from("x")));
    expect(error.hint).toContain("s3:PutObject");
    expect(service.shim.seen.length).toBe(1);
    await store.close();
  });

  it.each([
    [507, "XMinioStorageFull"],
    [403, "QuotaExceeded"],
  ])("says full (53100) for %i %s", async (status, code) => {
    const store = await service.open();
    service.shim.plan({ kind: "answer", status, code });
    expect((await failureOf(store.put(name, Buffer.from("x")))).code).toBe("53100");
    await store.close();
  });

  it("deletes one by one where the service cannot delete many, and remembers", async () => {
    const store = await service.open();
    const names = [1, 2, 3].map(extentOf);
    for (const one of names) await store.put(one, Buffer.from(one));
    service.shim.plan({ kind: "answer", status: 501, code: "NotImplemented" }, /^POST /);
    await store.delete(names);
    expect((await store.has(names)).size).toBe(0);
    await store.delete(names);
    expect(service.shim.seen.filter((line) => line.startsWith("POST ")).length).toBe(1);
    await store.close();
  });

  describe("says what to do about", () => {
    /** Each verb of a store that cannot work, for the same complaint. */
    const refusals = async (
      changes: Parameters<S3Service["open"]>[0],
    ): Promise<BorealisError[]> => {
      const store = await service.open(changes);
      const list = async (): Promise<void> => {
        for await (const _ of store.list("")) continue;
      };
      const found = [
        await failureOf(store.put(name, Buffer.from("x"))),
        await failureOf(store.put(name, randomBytes(6 * 1024 ** 2))),
        await failureOf(store.get(name)),
        await failureOf(store.has([name])),
        await failureOf(list()),
        await failureOf(store.delete([name])),
      ];
      await store.close();
      return found;
    };

    it("a key that nobody knows", async () => {
      const env = { ...rightKeys, AWS_ACCESS_KEY_ID: "NOBODY" };
      for (const error of await refusals({ env })) {
        expect(error.code).toBe("58030");
        expect(error.message).toContain("does not take the key NOBODY");
        expect(error.hint).toContain("AWS_ACCESS_KEY_ID");
      }
    });

    // s3rver looks at no signature of version 4; the real service does, below.
    it("a wrong secret, without telling it", async () => {
      const env = { ...rightKeys, AWS_SECRET_ACCESS_KEY: "not-the-secret" };
      const refusal = { kind: "answer", status: 403, code: "SignatureDoesNotMatch" } as const;
      service.shim.plan(refusal, /./, 100);
      for (const error of await refusals({ env })) {
        expect(error.code).toBe("58030");
        expect(error.message).toContain("does not take the key S3RVER");
        expect(`${error.message}${error.hint}${error.detail}`).not.toContain("not-the-secret");
      }
    });

    it("a bucket that is not there", async () => {
      for (const error of await refusals({ url: service.urlOf("no-such-bucket/prefix") })) {
        expect(error.code).toBe("58030");
        expect(error.message).toContain("there is no bucket no-such-bucket");
      }
    });

    it("an endpoint where nobody listens", async () => {
      const free = new URL(service.urlOf(bucket));
      free.searchParams.set("endpoint", "http://127.0.0.1:1");
      for (const error of await refusals({ url: free.href, limits: { retryMs: 150 } })) {
        expect(error.code).toBe("58030");
        expect(error.message).toContain("http://127.0.0.1:1 cannot be reached");
      }
    });

    it("an endpoint that does not speak TLS", async () => {
      const url = service.urlOf(`${bucket}/x`).replace("http:", "https:");
      const store = await service.open({ url });
      const error = await failureOf(store.get(name));
      expect(error.code).toBe("58030");
      expect(error.message).toContain("no trusted TLS");
      await store.close();
    });

    it("a clock that is wrong", async () => {
      const clock = { ...realClock, wallMs: () => realClock.wallMs() - 3_600_000 };
      for (const error of await refusals({ clock })) {
        expect(error.code).toBe("58030");
        expect(error.message).toContain("clock is 60 minutes behind the object store's");
      }
    });

    it("no keys at all", async () => {
      const home = mkdtempSync(join(tmpdir(), "borealis-home-"));
      const error = await failureOf(service.open({ env: { HOME: home } }));
      expect(error.code).toBe("58030");
      expect(error.hint).toContain("AWS_ACCESS_KEY_ID");
      rmSync(home, { recursive: true });
    });
  });

  it("takes keys, region and endpoint from a profile", async () => {
    const home = mkdtempSync(join(tmpdir(), "borealis-home-"));
    const file = join(home, "credentials");
    writeFileSync(
      file,
      `[default]\naws_access_key_id = NOBODY\n[borealis]\naws_access_key_id=S3RVER\naws_secret_access_key=S3RVER\nendpoint_url = http://127.0.0.1:${service.shim.port}\n`,
    );
    const env = { HOME: home, AWS_SHARED_CREDENTIALS_FILE: file };
    const store = await service.open({ env, url: `s3://${bucket}/by-profile?profile=borealis` });
    await store.put(name, Buffer.from("x"));
    expect((await store.get(name))?.toString()).toBe("x");
    await store.close();
    rmSync(home, { recursive: true });
  });

  it("does not put over what is there, where conditions are offered or refused", async () => {
    // s3rver overlooks If-None-Match, so the shim answers as services do that heed it, or refuse it.
    for (const [status, code] of [
      [412, "PreconditionFailed"],
      [501, "NotImplemented"],
    ] as const) {
      const store = await service.open();
      expect(await store.putNew(name, Buffer.from("first"))).toBe(true);
      for (const [text, isPut] of [
        ["second", false],
        ["first", true],
      ] as const) {
        // A refusal is remembered.
        if (status === 412 || !isPut) service.shim.plan({ kind: "answer", status, code }, /^PUT /);
        expect(await store.putNew(name, Buffer.from(text))).toBe(isPut);
      }
      expect((await store.get(name))?.toString()).toBe("first");
      expect(await store.putNew(extentOf(1), Buffer.from("another"))).toBe(true);
      await store.close();
    }
  });

  it("has the service copy what another volume has there: no bytes come here", async () => {
    const [parent, clone] = [await service.open(), await service.open()];
    const contents = new Map([1, 2, 3].map((n) => [extentOf(n), randomBytes(100_000 * n)]));
    for (const [one, bytes] of contents) await parent.put(one, bytes);
    service.shim.forget();
    const asked = [...contents.keys(), extentOf(4)];
    expect(await clone.copyFrom(of(parent), asked)).toEqual(new Set(contents.keys()));
    expect(service.shim.seen.map((line) => line.split(" ")[0])).toEqual(asked.map(() => "PUT"));
    expect(service.shim.bytesToServer).toBeLessThan(asked.length * 2_000);
    for (const [one, bytes] of contents) expect((await clone.get(one))?.equals(bytes)).toBe(true);
    // Either may delete what it has.
    await parent.delete([...contents.keys()]);
    expect(await clone.has(asked)).toEqual(new Set(contents.keys()));
    await parent.close();
    await clone.close();
  });

  it("tries a copy again, also after an error in an answer that began as a success", async () => {
    const [parent, clone] = [await service.open(), await service.open()];
    await parent.put(name, Buffer.from("x"));
    for (const fault of [
      { kind: "answer", status: 200, code: "InternalError" },
      { kind: "answer", status: 503, code: "SlowDown" },
      { kind: "loseAnswer" },
    ] as const) {
      service.shim.plan(fault, /^PUT /);
      expect(await clone.copyFrom(of(parent), [name])).toEqual(new Set([name]));
      expect(service.shim.isSpent).toBe(true);
    }
    await parent.close();
    await clone.close();
  });

  it("leaves out what was put there later than is wanted", async () => {
    const [parent, clone] = [await service.open(), await service.open()];
    for (const one of [1, 2].map(extentOf)) await parent.put(one, Buffer.from("x"));
    // s3rver overlooks the condition; the real service, below, does not.
    service.shim.plan({ kind: "answer", status: 412, code: "PreconditionFailed" }, /^PUT /);
    for (const at of [0, 1])
      expect((await clone.copyFrom(of(parent, 1_000), [extentOf(1)])).size).toBe(at);
    await parent.close();
    await clone.close();
  });

  it("leaves it to puts where the service does not copy, and remembers; or where it is another service", async () => {
    const [parent, clone] = [await service.open(), await service.open()];
    await parent.put(name, Buffer.from("x"));
    service.shim.plan({ kind: "answer", status: 501, code: "NotImplemented" }, /^PUT /);
    expect(await clone.copyFrom(of(parent), [name])).toEqual(new Set());
    service.shim.forget();
    expect(await clone.copyFrom(of(parent), [name])).toEqual(new Set());
    const elsewhere = await service.open({ url: `s3://${bucket}/x?endpoint=http://127.0.0.1:1` });
    expect(await elsewhere.copyFrom(of(parent), [name])).toEqual(new Set());
    expect(service.shim.seen).toEqual([]);
    for (const store of [parent, clone, elsewhere]) await store.close();
  });

  it("says why it is asked in vain for a while, and is silent when it is well again", async () => {
    let nowMs = 0;
    const clock = { ...realClock, nowMs: () => nowMs };
    const store = await service.open({ clock, limits: { retryMs: 600_000 } });
    service.shim.plan({ kind: "answer", status: 503, code: "SlowDown" }, /./, 1_000);
    const put = store.put(name, Buffer.from("x"));
    await expect.poll(() => service.shim.seen.length, { timeout: 15_000 }).toBeGreaterThan(1);
    expect(store.trouble).toBeUndefined();
    nowMs = 6_000;
    await expect
      .poll(() => store.trouble, { timeout: 15_000 })
      .toMatch(/not well .*503 SlowDown.*; it was/);
    service.shim.forget();
    await put;
    expect(store.trouble).toBeUndefined();
    await store.close();
  });

  it("gives up at once when it is closed", async () => {
    const store = await service.open({ limits: { idleTimeoutMs: 60_000, retryMs: 60_000 } });
    service.shim.plan({ kind: "silence" }, /./, 100);
    const refused = failureOf(store.get(name));
    await expect.poll(() => service.shim.seen.length, { timeout: 15_000 }).toBe(1);
    await store.close();
    expect((await refused).message).toContain("was closed");
    expect((await failureOf(store.get(name))).message).toContain("was closed");
  });
});

const realUrl = process.env["BOREALIS_TEST_S3_URL"];
/** A bucket there that has room for less than 2 KB. */
const fullUrl = process.env["BOREALIS_TEST_S3_FULL_URL"];

describe.skipIf(realUrl === undefined)(
  "against the service at BOREALIS_TEST_S3_URL (skipped without it: scripts/s3-real-server.mjs runs it)",
  () => {
    const open = (changes: { url?: string; env?: NodeJS.ProcessEnv; clock?: Clock } = {}) => {
      const url = new URL(changes.url ?? realUrl ?? "");
      url.pathname += `/run-${randomUUID()}`;
      return openS3Store({
        url: url.href,
        env: changes.env ?? process.env,
        disk: realDisk,
        clock: changes.clock ?? realClock,
        rng: realRng,
        limits: { partBytes: 5 * 1024 ** 2, retryMs: 20_000 },
      });
    };

    objectStoreContract("S3Store", () => open());

    it("does not take a wrong secret", async () => {
      const store = await open({ env: { ...process.env, AWS_SECRET_ACCESS_KEY: "wrong" } });
      for (const act of [
        // Refused before its body is read.
        () => store.put(volumeObject, randomBytes(4 * 1024 ** 2)),
        () => store.put(volumeObject, Buffer.from("x")),
        () => store.get(volumeObject),
        () => store.has([volumeObject]),
        () => store.delete([volumeObject]),
      ]) {
        const error = await failureOf(act());
        expect(error.code).toBe("58030");
        expect(error.message).toContain("does not take the key");
      }
      await store.close();
    });

    it.skipIf(fullUrl === undefined)("says full (53100) when a quota is used up", async () => {
      const store = await open({ url: fullUrl ?? "" });
      expect((await failureOf(store.put(volumeObject, randomBytes(2_000)))).code).toBe("53100");
      // (Swift does not count parts: they lie in a container of their own.)
      await store.put(volumeObject, Buffer.from("small"));
      expect((await store.get(volumeObject))?.toString()).toBe("small");
      await store.close();
    });

    it("copies what another volume has there, also what was put in parts", async () => {
      const [parent, clone] = [await open(), await open()];
      const contents = [randomBytes(1_000), randomBytes(11 * 1024 ** 2)];
      for (const [at, bytes] of contents.entries()) await parent.put(extentOf(at), bytes);
      const names = [0, 1].map(extentOf);
      expect(await clone.copyFrom(of(parent), [...names, extentOf(2)])).toEqual(new Set(names));
      const late = await open();
      expect((await late.copyFrom(of(parent, Date.now() - 86_400_000), names)).size).toBe(0);
      expect((await late.copyFrom(of(parent, Date.now() + 86_400_000), names)).size).toBe(2);
      await late.close();
      await parent.delete(names);
      for (const [at, bytes] of contents.entries())
        expect((await clone.get(extentOf(at)))?.equals(bytes)).toBe(true);
      await parent.close();
      await clone.close();
    });

    it("says how wrong a clock is", async () => {
      const clock = { ...realClock, wallMs: () => realClock.wallMs() + 3_600_000 };
      const store = await open({ clock });
      for (const act of [
        () => store.put(volumeObject, Buffer.from("x")),
        () => store.get(volumeObject),
        () => store.has([volumeObject]),
        () => store.delete([volumeObject]),
      ]) {
        const error = await failureOf(act());
        expect(error.code).toBe("58030");
        expect(error.message).toContain("60 minutes ahead of");
      }
      await store.close();
    });

    it("puts a new object only once, where the service offers conditions", async () => {
      const store = await open();
      expect(await store.putNew(volumeObject, Buffer.from("first"))).toBe(true);
      expect(await store.putNew(volumeObject, Buffer.from("first"))).toBe(true);
      expect(await store.putNew(volumeObject, Buffer.from("second"))).toBe(false);
      expect((await store.get(volumeObject))?.toString()).toBe("first");
      await store.close();
    });

    it("says that a bucket is not there", async () => {
      const url = new URL(realUrl ?? "");
      url.host = "no-such-bucket-anywhere";
      const store = await open({ url: url.href });
      for (const act of [
        () => store.put(volumeObject, Buffer.from("x")),
        () => store.get(volumeObject),
        () => store.has([volumeObject]),
        () => store.delete([volumeObject]),
      ]) {
        const error = await failureOf(act());
        expect(error.code).toBe("58030");
        expect(error.message).toContain("there is no bucket");
      }
      await store.close();
    });
  },
);
