import { describe, expect, it } from "vitest";
import { TarReader } from "./tar.ts";

interface Entry {
  readonly name: string;
  readonly type?: string;
  readonly body?: string;
  readonly sizeField?: Buffer;
}

/** One entry as PostgreSQL writes it (tarCreateHeader): ustar, octal fields, contents padded to 512 bytes. */
function anEntry({ name, type = "0", body = "", sizeField }: Entry): Buffer {
  const header = Buffer.alloc(512);
  header.write(name, 0, 100, "latin1");
  header.write("0000600\0", 100);
  const size = sizeField ?? Buffer.from(`${body.length.toString(8).padStart(11, "0")} `);
  size.copy(header, 124);
  header.write("        ", 148);
  header.write(type, 156);
  header.write("ustar\0" + "00", 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  const padded = Buffer.alloc(Math.ceil(body.length / 512) * 512);
  padded.write(body);
  return Buffer.concat([header, padded]);
}

const end = Buffer.alloc(1024);

/** What an archive holds, as lines, when it comes in pieces of `pieceBytes`. */
function linesOf(archive: Buffer, pieceBytes: number): { lines: string[]; isComplete: boolean } {
  const reader = new TarReader();
  const lines: string[] = [];
  let body = "";
  for (let at = 0; at < archive.length; at += pieceBytes) {
    for (const part of reader.push(archive.subarray(at, at + pieceBytes))) {
      if (part.kind === "bytes") body += part.bytes.toString();
      else if (part.kind === "fileEnd") {
        lines.push(`  ${body.length} ${body.slice(0, 9)}`);
        body = "";
      } else lines.push(`${part.kind} ${part.name}`);
    }
  }
  return { lines, isComplete: reader.isComplete };
}

const archive = Buffer.concat([
  anEntry({ name: "backup_label", body: "START WAL LOCATION" }),
  anEntry({ name: "base/", type: "5" }),
  anEntry({ name: "./base/1", type: "5" }),
  anEntry({ name: "base/1/2619_fsm", body: "x".repeat(1300) }),
  anEntry({ name: "base/1/1247", body: "" }),
  end,
]);

const wanted = [
  "file backup_label",
  "  18 START WAL",
  "directory base",
  "directory base/1",
  "file base/1/2619_fsm",
  "  1300 xxxxxxxxx",
  "file base/1/1247",
  "  0 ",
];

describe("a base backup's tar stream", () => {
  it.each([1, 7, 511, 512, 513, 1000, 100_000])("is read in pieces of %i bytes", (pieceBytes) => {
    expect(linesOf(archive, pieceBytes)).toEqual({ lines: wanted, isComplete: true });
  });

  it("that was cut off anywhere is not complete", () => {
    for (let length = 0; length < archive.length; length += 128) {
      expect(linesOf(archive.subarray(0, length), 512).isComplete).toBe(false);
    }
  });

  it("takes a size in binary, as for what is too long for octal digits", () => {
    const sizeField = Buffer.alloc(12);
    sizeField.writeUInt8(0x80, 0);
    sizeField.writeBigUInt64BE(3n, 4);
    const one = anEntry({ name: "a", body: "abc", sizeField });
    expect(linesOf(Buffer.concat([one, end]), 512).lines).toEqual(["file a", "  3 abc"]);
  });

  it.each([
    ["a name that leads out", { name: "../etc/passwd" }],
    ["a name that leads out in its middle", { name: "base/../../x" }],
    ["an absolute name", { name: "/etc/passwd" }],
    ["an empty name", { name: "" }],
    ["the root itself", { name: "./" }],
    ["a name with a line break", { name: "base\nx" }],
    ["a symbolic link", { name: "pg_tblspc/1", type: "2" }],
    ["a hard link", { name: "x", type: "1" }],
    ["a device", { name: "x", type: "3" }],
    ["a directory with contents", { name: "x", type: "5", body: "y" }],
    ["a size that is no number", { name: "x", sizeField: Buffer.from("0000000009x ") }],
    ["a size beyond all bounds", { name: "x", sizeField: Buffer.from("77777777777 ") }],
    ["a negative binary size", { name: "x", sizeField: Buffer.alloc(12, 0xff) }],
  ])("refuses %s", (_, entry: Entry) => {
    expect(() => linesOf(anEntry(entry), 512)).toThrow("a base backup cannot be used");
  });

  it("refuses a header with a flipped bit, wherever it is", () => {
    // Behind the zero that ends the checksum there is one blank without a meaning.
    for (let at = 0; at < 512; at++) {
      if (at === 155) continue;
      const flipped = anEntry({ name: "PG_VERSION", body: "18" });
      flipped[at] = (flipped[at] ?? 0) ^ 1;
      expect(() => linesOf(flipped, 512), `byte ${at}`).toThrow("cannot be used");
    }
  });

  it("refuses what comes behind the end", () => {
    const two = Buffer.concat([end, anEntry({ name: "x" })]);
    expect(() => linesOf(two, 512)).toThrow("goes on behind its end");
  });
});
