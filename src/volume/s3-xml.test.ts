import { describe, expect, it } from "vitest";
import {
  completeBody,
  deleteBody,
  findErrorBody,
  readDeleteErrors,
  readPage,
  readUploadId,
} from "./s3-xml.ts";

const space = `xmlns="http://s3.amazonaws.com/doc/2006-03-01/"`;
const entry = (key: string, size = "12"): string =>
  `<Contents><Key>${key}</Key><LastModified>2026-11-28T20:00:01.500Z</LastModified><ETag>&quot;e&quot;</ETag><Size>${size}</Size></Contents>`;
const page = (inside: string): Buffer =>
  Buffer.from(
    `<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult ${space}>${inside}</ListBucketResult>\n`,
  );

describe("a page of a listing", () => {
  it("is read with its entities, and says whether there is another", () => {
    const text = `<IsTruncated>true</IsTruncated><NextContinuationToken>a&amp;b+/=</NextContinuationToken>${entry("x&amp;y/1")}${entry("x/2", "0")}`;
    const putAtMs = Date.UTC(2026, 10, 28, 20, 0, 1, 500);
    expect(readPage(page(text))).toEqual({
      objects: [
        { key: "x&y/1", sizeBytes: 12, putAtMs },
        { key: "x/2", sizeBytes: 0, putAtMs },
      ],
      next: "a&b+/=",
    });
  });

  it("may be empty, and the last one", () => {
    expect(readPage(page("<IsTruncated>false</IsTruncated>"))).toEqual({
      objects: [],
      next: undefined,
    });
  });

  it.each([
    ["a page without the next one's token", page("<IsTruncated>true</IsTruncated>")],
    ["an entry without a size", page(entry("k", ""))],
    ["an entry of a strange size", page(entry("k", "many"))],
    ["a page of HTML", Buffer.from("<html><body>Welcome<br></body></html>")],
    ["another document", Buffer.from(`<Other ${space}/>`)],
    ["nothing", Buffer.alloc(0)],
  ])("is not %s", (_, body) => {
    expect(() => readPage(body)).toThrow("the object store answered with");
  });

  it("is not one that was cut, wherever", () => {
    const whole = page(`<IsTruncated>false</IsTruncated>${entry("k")}`);
    const end = whole.toString().trimEnd().length;
    for (let length = 0; length < end; length++) {
      expect(() => readPage(whole.subarray(0, length)), `${length} bytes`).toThrow();
    }
  });
});

describe("errors", () => {
  it("are read with the region where there is one", () => {
    const body =
      "<Error><Code>PermanentRedirect</Code><Message>m</Message><Region>r</Region></Error>";
    expect(findErrorBody(Buffer.from(body))).toEqual({
      code: "PermanentRedirect",
      message: "m",
      region: "r",
    });
  });

  it("are not seen in what is none", () => {
    for (const text of ["", "<html>", "plain", "<Fine/>"]) {
      expect(findErrorBody(Buffer.from(text))).toBeUndefined();
    }
  });

  it("of single keys are found in a DeleteResult", () => {
    const body = `<DeleteResult ${space}><Deleted><Key>a</Key></Deleted><Error><Key>b</Key><Code>AccessDenied</Code><Message>no</Message></Error></DeleteResult>`;
    expect(readDeleteErrors(Buffer.from(body))).toEqual([
      { key: "b", code: "AccessDenied", message: "no" },
    ]);
  });
});

it("an upload has an id", () => {
  const body = `<InitiateMultipartUploadResult ${space}><UploadId>u-1</UploadId></InitiateMultipartUploadResult>`;
  expect(readUploadId(Buffer.from(body))).toBe("u-1");
  expect(() => readUploadId(Buffer.from("<InitiateMultipartUploadResult/>"))).toThrow(
    "without an id",
  );
});

it("what is sent is XML, whatever the names are", () => {
  expect(deleteBody(["a&b", "c<d>"]).toString()).toContain(
    "<Object><Key>a&amp;b</Key></Object><Object><Key>c&lt;d&gt;</Key></Object>",
  );
  expect(completeBody([`"t1"`, `"t2"`]).toString()).toContain(
    `<Part><PartNumber>2</PartNumber><ETag>"t2"</ETag></Part>`,
  );
});
