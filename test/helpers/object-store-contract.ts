/** What every ObjectStore has to do, whatever it is made of: one suite for all forms. */
import { createHash, randomBytes } from "node:crypto";
import { afterEach, describe, expect, it } from "vitest";
import { epoch } from "../../src/base/ids.ts";
import { lsn } from "../../src/base/lsn.ts";
import {
  extentObject,
  extentPrefix,
  logObject,
  logPrefix,
  type ObjectFacts,
  type ObjectStore,
  snapshotObject,
  snapshotPrefix,
  volumeObject,
} from "../../src/volume/index.ts";

export interface ContractLimits {
  /** An object of this size is put and given back. */
  readonly largeBytes: number;
  /** So many small objects are put, listed and deleted. */
  readonly many: number;
  /** What the peer in this test is known not to keep; said in the test's name. */
  readonly unkept?: { readonly wholePuts?: string };
}

/** Any extent's name; the same number gives the same. */
export function extentOf(number: number): string {
  return extentObject(createHash("sha256").update(`extent ${number}`).digest("hex"));
}

async function listed(store: ObjectStore, prefix: string): Promise<ObjectFacts[]> {
  const facts: ObjectFacts[] = [];
  for await (const one of store.list(prefix)) facts.push(one);
  return facts;
}

async function namesIn(store: ObjectStore, prefix: string): Promise<string[]> {
  return (await listed(store, prefix)).map((one) => one.name);
}

async function eightAtATime(names: readonly string[], act: (name: string) => Promise<void>) {
  const left = [...names];
  const lane = async (): Promise<void> => {
    for (let name = left.pop(); name !== undefined; name = left.pop()) await act(name);
  };
  await Promise.all(Array.from({ length: 8 }, lane));
}

/** `open` gives an empty store; the suite closes it. Objects of all three kinds and their prefixes are used. */
export function objectStoreContract(
  name: string,
  open: () => Promise<ObjectStore>,
  changes: Partial<ContractLimits> = {},
): void {
  const limits: ContractLimits = { largeBytes: 12 * 1024 ** 2, many: 1_150, ...changes };
  describe(`${name} keeps the contract of object stores`, () => {
    const opened: ObjectStore[] = [];
    const fresh = async (): Promise<ObjectStore> => {
      const store = await open();
      opened.push(store);
      return store;
    };
    afterEach(async () => {
      for (const store of opened.splice(0)) await store.close();
    });

    it("gives back the bytes that were put: none, one, each value, a mebibyte", async () => {
      const store = await fresh();
      const everyByte = Buffer.from(Array.from({ length: 256 }, (_, at) => at));
      const contents = [
        Buffer.alloc(0),
        Buffer.from([0]),
        everyByte,
        Buffer.from("a plain text\r\n"),
        randomBytes(1024 ** 2),
      ];
      for (const [at, content] of contents.entries()) await store.put(extentOf(at), content);
      for (const [at, content] of contents.entries()) {
        const given = await store.get(extentOf(at));
        expect(given?.equals(content), `${content.length} bytes`).toBe(true);
      }
      const sizes = (await listed(store, extentPrefix)).map((one) => one.sizeBytes);
      expect(sizes.toSorted((a, b) => a - b)).toEqual(
        contents.map((content) => content.length).toSorted((a, b) => a - b),
      );
    });

    it("gives back a large one", async () => {
      const store = await fresh();
      const bytes = randomBytes(limits.largeBytes);
      await store.put(snapshotObject("large"), bytes);
      expect((await store.get(snapshotObject("large")))?.equals(bytes)).toBe(true);
      const [facts] = await listed(store, snapshotPrefix);
      expect(facts?.sizeBytes).toBe(limits.largeBytes);
      // Putting it again replaces it, whatever its size.
      await store.put(snapshotObject("large"), Buffer.from("small"));
      expect((await store.get(snapshotObject("large")))?.toString()).toBe("small");
      await store.delete([snapshotObject("large")]);
      expect(await store.get(snapshotObject("large"))).toBeUndefined();
    });

    it("has no object that was never put", async () => {
      const store = await fresh();
      expect(await store.get(extentOf(1))).toBeUndefined();
      expect(await store.get(volumeObject)).toBeUndefined();
      expect([...(await store.has([extentOf(1), volumeObject]))]).toEqual([]);
      expect(await listed(store, extentPrefix)).toEqual([]);
      expect(await listed(store, "")).toEqual([]);
      await store.delete([extentOf(1), extentOf(2)]);
    });

    it("replaces what had the name, and takes nothing along when the caller's buffer changes", async () => {
      const store = await fresh();
      const bytes = Buffer.from("first");
      await store.put(volumeObject, bytes);
      bytes.fill("x");
      const given = await store.get(volumeObject);
      expect(given?.toString()).toBe("first");
      given?.fill("y");
      expect((await store.get(volumeObject))?.toString()).toBe("first");
      await store.put(volumeObject, Buffer.from("the second, longer"));
      expect((await store.get(volumeObject))?.toString()).toBe("the second, longer");
      await store.put(volumeObject, Buffer.from("3rd"));
      expect((await store.get(volumeObject))?.toString()).toBe("3rd");
      expect(await namesIn(store, "")).toEqual([volumeObject]);
    });

    it("makes an object young again when the same is put again", async () => {
      const store = await fresh();
      await store.put(extentOf(1), Buffer.from("the same"));
      const [first] = await listed(store, extentPrefix);
      // Some services count whole seconds.
      await expect
        .poll(
          async () => {
            await store.put(extentOf(1), Buffer.from("the same"));
            const [again] = await listed(store, extentPrefix);
            return (again?.putAtMs ?? 0) - (first?.putAtMs ?? 0);
          },
          { timeout: 10_000, interval: 200 },
        )
        .toBeGreaterThan(0);
      expect((await store.get(extentOf(1)))?.toString()).toBe("the same");
    });

    it("says when an object was put, to a minute of this machine's clock", async () => {
      const store = await fresh();
      await store.put(extentOf(1), Buffer.from("now"));
      const [facts] = await listed(store, extentPrefix);
      expect(Math.abs((facts?.putAtMs ?? 0) - Date.now())).toBeLessThan(60_000);
    });

    it("lists by prefix, in the order of names, wherever the prefix ends", async () => {
      const store = await fresh();
      const names = [
        extentOf(1),
        extentOf(2),
        extentOf(3),
        snapshotObject("a"),
        snapshotObject("a-b"),
        snapshotObject("a.b"),
        snapshotObject("a0"),
        logObject(epoch(1), lsn(0x1000000n), lsn(0x1800000n)),
        logObject(epoch(1), lsn(0x1800000n), lsn(0x2000000n)),
        logObject(epoch(10), lsn(0x2000000n), lsn(0x2000100n)),
        volumeObject,
      ];
      for (const one of names.toReversed()) await store.put(one, Buffer.from(one));
      const sorted = names.toSorted();
      expect(await namesIn(store, "")).toEqual(sorted);
      for (const prefix of [
        extentPrefix,
        snapshotPrefix,
        logPrefix,
        `${logPrefix}0000000000000001/`,
        `${snapshotPrefix}a-`,
        extentOf(2).slice(0, 12),
        extentOf(2),
        "volume",
        "nothing",
      ]) {
        expect(await namesIn(store, prefix), prefix).toEqual(
          sorted.filter((one) => one.startsWith(prefix)),
        );
      }
    });

    it("says which of many are there", async () => {
      const store = await fresh();
      const names = Array.from({ length: 60 }, (_, at) => extentOf(at));
      const there = names.filter((_, at) => at % 3 === 0);
      await eightAtATime(there, (one) => store.put(one, Buffer.from(one)));
      expect([...(await store.has(names))].toSorted()).toEqual(there.toSorted());
      expect([...(await store.has([]))]).toEqual([]);
    });

    it("deletes what it is told and nothing else, twice without complaint", async () => {
      const store = await fresh();
      const names = Array.from({ length: 12 }, (_, at) => extentOf(at));
      for (const one of names) await store.put(one, Buffer.from(one));
      const gone = names.slice(0, 7);
      await store.delete([...gone, extentOf(999)]);
      await store.delete(gone);
      await store.delete([]);
      expect(await namesIn(store, extentPrefix)).toEqual(names.slice(7).toSorted());
      for (const one of gone) expect(await store.get(one)).toBeUndefined();
      // A name that was free again can be used again.
      await store.put(extentOf(0), Buffer.from("back"));
      expect((await store.get(extentOf(0)))?.toString()).toBe("back");
    });

    const { wholePuts } = limits.unkept ?? {};
    const unkept = wholePuts === undefined ? "" : ` (skipped: ${wholePuts})`;
    it.skipIf(wholePuts)(
      `shows one of some concurrent puts of a name, whole${unkept}`,
      async () => {
        const store = await fresh();
        const contents = Array.from({ length: 6 }, (_, at) => Buffer.alloc(200_000 + at, at + 1));
        let isDone = false;
        const puts = Promise.all(contents.map((one) => store.put(volumeObject, one))).finally(
          () => (isDone = true),
        );
        const isOneOf = (given: Buffer | undefined): boolean =>
          contents.some((one) => given?.equals(one));
        const seen: (Buffer | undefined)[] = [];
        while (!isDone) seen.push(await store.get(volumeObject));
        await puts;
        expect(seen.filter((one) => one !== undefined && !isOneOf(one))).toEqual([]);
        expect(isOneOf(await store.get(volumeObject))).toBe(true);
      },
    );

    it(`puts, lists and deletes ${limits.many} objects`, async () => {
      const store = await fresh();
      const names = Array.from({ length: limits.many }, (_, at) => extentOf(at));
      await eightAtATime(names, (one) => store.put(one, Buffer.from(one)));
      expect(await namesIn(store, extentPrefix)).toEqual(names.toSorted());
      await store.delete(names.slice(1));
      expect(await namesIn(store, extentPrefix)).toEqual([extentOf(0)]);
    }, 300_000);
  });
}
