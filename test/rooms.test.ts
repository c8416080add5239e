/** The house rules of docs/architecture.md as a test: which room may import which, and what "pure" means. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

type Kind = "core" | "core+shell" | "core+world" | "shell" | "world";

const src = join(dirname(dirname(fileURLToPath(import.meta.url))), "src");

const everyRoomAbove =
  "base io wire iam access audit wal keys volume quorum acceptor ownership route session engine log-driver storage-node instance keeper events cluster api sim".split(
    " ",
  );

/** In the order of the import table: a room imports only rooms named in rows above it. */
const rooms = new Map<string, [Kind, ...string[]]>([
  ["base", ["core"]],
  ["io", ["world", "base"]],
  ["wire", ["core+shell", "base", "io"]],
  ["iam", ["core+shell", "base", "io"]],
  ["access", ["core", "base"]],
  ["audit", ["core+shell", "base", "io"]],
  ["wal", ["core", "base"]],
  ["keys", ["core+shell", "base", "io"]],
  ["volume", ["core+shell", "base", "io", "wal", "keys"]],
  ["quorum", ["core+shell", "base", "io"]],
  ["acceptor", ["core", "base", "quorum"]],
  ["ownership", ["core", "base", "quorum"]],
  ["route", ["core+shell", "base", "wire"]],
  ["session", ["core+shell", "base", "io", "wire", "access", "route"]],
  ["engine", ["core+world", "base", "io", "wire", "wal", "volume"]],
  ["log-driver", ["core+shell", "base", "io", "wire", "wal", "volume", "quorum", "ownership"]],
  ["storage-node", ["core+shell", "base", "io", "wal", "keys", "volume", "quorum", "acceptor"]],
  [
    "instance",
    ["core+shell", "base", "io", "wire", "wal", "keys", "volume", "quorum", "engine", "log-driver"],
  ],
  [
    "keeper",
    [
      "core+shell",
      "base",
      "io",
      "wire",
      "wal",
      "keys",
      "volume",
      "quorum",
      "engine",
      "log-driver",
      "instance",
    ],
  ],
  ["events", ["core"]],
  [
    "cluster",
    [
      "core+shell",
      "base",
      "events",
      "io",
      "wire",
      "wal",
      "keys",
      "volume",
      "quorum",
      "session",
      "engine",
      "log-driver",
      "storage-node",
      "instance",
      "keeper",
    ],
  ],
  ["api", ["core+shell", "base", "io", "wire", "session", "keeper", "events", "cluster"]],
  [
    "sim",
    [
      "shell",
      "base",
      "io",
      "wal",
      "quorum",
      "acceptor",
      "ownership",
      "session",
      "log-driver",
      "storage-node",
      "instance",
      "cluster",
    ],
  ],
  ["main", ["world", ...everyRoomAbove]],
]);

const packagesInCore = new Set([
  // Its types only.
  "api/syntax.ts pgsql-ast-parser",
  "base/crc32.ts node:zlib",
  "volume/compression-shell.ts node:zlib",
  "volume/s3-xml.ts @rgrove/parse-xml",
  "route/parser.ts libpg-query",
  "route/parser-shell.ts node:fs/promises",
  "route/parser-shell.ts node:module",
  "route/cache.ts lru-cache",
  "cluster/fault-messages.ts zod",
  "cluster/messages.ts zod",
  "cluster/parameter-messages.ts zod",
  "cluster/process-messages.ts zod",
  "cluster/session-messages.ts zod",
  "cluster/status-messages.ts zod",
  "cluster/state.ts zod",
  "events/event-book.ts zod",
  "iam/users.ts zod",
  "instance/fault-messages.ts zod",
  "instance/messages.ts zod",
  "instance/parameter-messages.ts zod",
  "keeper/messages.ts zod",
]);
const importPath = /(?:\bfrom|^import)\s+["']([^"']+)["']|\bimport\(\s*["']([^"']+)["']/gm;
const importForEffect = /^import\s+["']\./m;
const comment = /\/\*[\s\S]*?\*\/|(?<!:)\/\/.*/g;
const world = new RegExp(
  String.raw`\bDate\.now|new Date\(\)|Math\.random|\bset(?:Timeout|Interval|Immediate)\b|` +
    String.raw`performance\.now|\bfetch\(|\bprocess\.\w+|\brandom(?:Bytes|UUID|Int|Fill)`,
);
const waiting = /\b(?:await|async|Promise)\b/;
const harmless = new Set(["node:assert", "node:util", "node:buffer", "node:crypto"]);
const linesMax = 400;
const generatedLinesMax = 5000;

/** Every way in which one source file breaks the table. */
function faults(file: string, source: string): string[] {
  const found: string[] = [];
  const [room = "", ...rest] = file.split(sep);
  const row = rooms.get(room);
  if (!row) return [`${file}: no such room`];
  const [kind, ...allowed] = row;
  const name = rest.at(-1) ?? "";
  const isShell =
    kind === "shell" || kind === "world" || (kind !== "core" && /(^|-)shell\.ts$/.test(name));
  const mayTouchWorld = isShell && kind.endsWith("world");
  const code = source.replace(comment, "");
  const touched = world.exec(code);
  if (touched && !mayTouchWorld) found.push(`${file}: ${touched[0]} outside io`);
  if (!isShell && waiting.test(code)) found.push(`${file}: a pure file waits`);
  const limit = name.endsWith(".generated.ts") ? generatedLinesMax : linesMax;
  if (code.split("\n").length > limit) found.push(`${file}: over ${limit} lines`);
  // scripts/bundle.mjs leaves out what is imported and not used.
  if (importForEffect.test(code))
    found.push(`${file}: a module does something when it is imported`);
  for (const [, a, b] of code.matchAll(importPath)) {
    const spec = a ?? b ?? "";
    if (spec.startsWith(".")) {
      const [other = "", ...door] = relative(src, resolve(src, dirname(file), spec)).split(sep);
      if (other === room) continue;
      if (!allowed.includes(other)) found.push(`${file}: ${room} may not import ${other}`);
      else if (other !== "base" && door.join("/") !== "index.ts") {
        found.push(`${file}: enter ${other} by its index.ts`);
      } else if (other === "io" && !isShell && !isTypeOnly(code, spec)) {
        found.push(`${file}: a pure file imports io`);
      }
    } else if (spec.startsWith("node:")) {
      const isListed = packagesInCore.has(`${room}/${rest.join("/")} ${spec}`);
      if (!mayTouchWorld && !harmless.has(spec) && !isListed)
        found.push(`${file}: imports ${spec}`);
    } else if (!isShell && !packagesInCore.has(`${room}/${rest.join("/")} ${spec}`)) {
      found.push(`${file}: imports ${spec}`);
    }
  }
  return found;
}

/** An interface may be named by a pure file that is handed the real thing; a value may not. */
function isTypeOnly(code: string, spec: string): boolean {
  const escaped = spec.replace(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
  return !new RegExp(String.raw`(?:import|export)\s+(?!type\b)[^;]*from\s+["']${escaped}["']`).test(
    code,
  );
}

function* sourcesUnder(folder: string): Generator<string> {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    if (statSync(path).isDirectory()) yield* sourcesUnder(path);
    else if (path.endsWith(".ts") && !path.endsWith(".test.ts")) yield relative(src, path);
  }
}

describe("the house", () => {
  it("has a table in which no room imports a room below it", () => {
    const seen = new Set<string>();
    for (const [room, [, ...allowed]] of rooms) {
      for (const other of allowed) expect(seen.has(other), `${room} imports ${other}`).toBe(true);
      seen.add(room);
    }
  });

  it("has one door to each room, and no file breaks the table", () => {
    const found: string[] = [];
    for (const room of readdirSync(src)) {
      if (room !== "base" && room !== "main" && !existsSync(join(src, room, "index.ts"))) {
        found.push(`${room}: no index.ts`);
      }
    }
    for (const file of sourcesUnder(src)) {
      found.push(...faults(file, readFileSync(join(src, file), "utf8")));
    }
    expect(found).toEqual([]);
  });

  it("finds planted faults", () => {
    const planted: [string, string][] = [
      ["wal/x.ts", `import { a } from "../quorum/index.ts";`],
      ["quorum/x.ts", `import { readFileSync } from "node:fs";`],
      ["quorum/x.ts", `const now = Date.now();`],
      ["quorum/x.ts", `export async function f() {}`],
      ["session/x-shell.ts", `import { frame } from "../wire/frame.ts";`],
      ["session/x.ts", `import { dial } from "../io/index.ts";`],
      ["session/x-shell.ts", `const id = process.pid;`],
      ["wire/x.ts", `import lru from "lru-cache";`],
      ["main/x.ts", `import "./y.ts";`],
      ["attic/x.ts", ``],
      ["base/x.ts", "\n".repeat(linesMax + 1)],
    ];
    for (const [file, source] of planted) {
      expect(
        faults(file.split("/").join(sep), source),
        `${file}: ${source.slice(0, 60)}`,
      ).not.toEqual([]);
    }
  });
});
