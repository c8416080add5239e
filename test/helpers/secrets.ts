/** Looks for secrets, however they are written, in texts, files and the processes of a cluster. */
import { closeSync, openSync, readdirSync, readFileSync, readSync, statSync } from "node:fs";
import { join } from "node:path";

export interface Secret {
  readonly name: string;
  readonly value: string | Buffer;
}

/** Shorter pieces are found by chance. */
const formBytesMin = 8;
const pieceBytes = 4 * 1024 * 1024;

/** As it is, in JSON, in a URL, in hex, and in base64 wherever it lies in what was encoded. */
export function formsOf(value: string | Buffer): Buffer[] {
  const bytes = Buffer.from(value);
  const forms = new Map<string, Buffer>();
  const add = (form: Buffer | string): void => {
    const found = Buffer.from(form);
    if (found.length >= formBytesMin) forms.set(found.toString("latin1"), found);
  };
  add(bytes);
  if (typeof value === "string") {
    add(JSON.stringify(value).slice(1, -1));
    add(encodeURIComponent(value));
    add(encodeURIComponent(value).toLowerCase());
    add(new URLSearchParams({ v: value }).toString().slice(2));
    add(value.replaceAll("'", "''"));
  }
  add(bytes.toString("hex"));
  add(bytes.toString("hex").toUpperCase());
  for (let before = 0; before < 3; before++) {
    // Of three places, the letters that depend on nothing but the secret.
    const shifted = Buffer.concat([Buffer.alloc(before), bytes]);
    const whole = shifted.length - (shifted.length % 3);
    const letters = shifted
      .subarray(0, whole)
      .toString("base64")
      .slice(before === 0 ? 0 : 4);
    add(letters);
    add(letters.replaceAll("+", "-").replaceAll("/", "_"));
  }
  return [...forms.values()];
}

/** Most of what lies on a cluster's disk: log files are written ahead. */
const zeros = Buffer.alloc(4096);

/** Many secrets at once, in one pass. */
export class SecretScanner {
  private readonly firsts = new Uint8Array(1 << 16);
  private readonly byFirst = new Map<number, { readonly name: string; readonly form: Buffer }[]>();
  private readonly longest: number;

  constructor(secrets: readonly Secret[]) {
    const all = secrets.flatMap(({ name, value }) => {
      const forms = formsOf(value);
      if (forms.length === 0) throw new Error(`${name} is too short to be looked for`);
      return forms.map((form) => ({ name, form }));
    });
    this.longest = Math.max(formBytesMin, ...all.map(({ form }) => form.length));
    for (const one of all) {
      const first = one.form.readUInt16BE(0);
      this.firsts[first] = 1;
      this.byFirst.set(first, [...(this.byFirst.get(first) ?? []), one]);
    }
  }

  /** Names of the secrets that are in it. */
  in(text: string | Buffer): string[] {
    const bytes = typeof text === "string" ? Buffer.from(text) : text;
    const found = new Set<string>();
    let first = bytes[0] ?? 0;
    for (let at = 1; at < bytes.length; at++) {
      if (at % zeros.length === 1 && zeros.equals(bytes.subarray(at, at + zeros.length))) {
        // A key may begin with zeros.
        at += zeros.length - this.longest;
        first = 0;
      }
      first = ((first << 8) | (bytes[at] ?? 0)) & 0xffff;
      if (this.firsts[first] === 0) continue;
      for (const { name, form } of this.byFirst.get(first) ?? [])
        if (bytes.subarray(at - 1, at - 1 + form.length).equals(form)) found.add(name);
    }
    return [...found];
  }

  /** The same of a file of any size. One that is gone has none. */
  inFile(path: string): string[] {
    let fd: number;
    try {
      fd = openSync(path, "r");
    } catch {
      return [];
    }
    const found = new Set<string>();
    const buffer = Buffer.alloc(pieceBytes);
    try {
      for (let at = 0; ; at += pieceBytes - this.longest) {
        const count = readSync(fd, buffer, 0, pieceBytes, at);
        for (const name of this.in(buffer.subarray(0, count))) found.add(name);
        if (count < pieceBytes) return [...found];
      }
    } finally {
      closeSync(fd);
    }
  }

  /** Every file below a folder but those that `isKnown` takes for secret themselves: `secret in path`. */
  below(folder: string, isKnown: (path: string) => boolean = () => false): string[] {
    return filesBelow(folder)
      .filter((path) => !isKnown(path.slice(folder.length + 1)))
      .flatMap((path) => this.inFile(path).map((name) => `${name} in ${path}`));
  }
}

function filesBelow(folder: string): string[] {
  let entries;
  try {
    entries = readdirSync(folder, { withFileTypes: true });
  } catch {
    return []; // gone meanwhile
  }
  return entries.flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return filesBelow(path);
    return entry.isFile() && sizeOf(path) > 0 ? [path] : [];
  });
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

/** Files of a data directory that hold secrets, for their owner alone (docs/trust.md); paths below it. */
export function isSecretFile(path: string): boolean {
  return (
    /^(?:keys\/.*|password|credentials|control\/server\.key|control\/iam\/users\.json)$/.test(
      path,
    ) || /^control\/tls\/.*\.key$/.test(path)
  );
}

/** What a data directory has in clear: of the key file, of certificates, of who may ask over HTTP, and access keys. */
export function keysOf(dataDir: string): Secret[] {
  const secrets: Secret[] = [];
  const masters = readText(join(dataDir, "keys/master.json"));
  for (const [index, match] of [...masters.matchAll(/"key": ?"([^"]+)"/g)].entries()) {
    const text = match[1] ?? "";
    secrets.push({ name: `master key ${index}`, value: Buffer.from(text, "base64") });
    secrets.push({ name: `text of master key ${index}`, value: text });
  }
  for (const file of filesBelow(join(dataDir, "control"))) {
    if (!file.endsWith(".key")) continue;
    const body = readText(file)
      .split("\n")
      .filter((line) => !line.startsWith("-----"));
    const line = body.toSorted((a, b) => b.length - a.length)[0] ?? "";
    secrets.push({ name: `private key ${file}`, value: line });
  }
  const credentials = readText(join(dataDir, "credentials")).trim().split(":")[1];
  if (credentials !== undefined) secrets.push({ name: "HTTP credentials", value: credentials });
  const users = readText(join(dataDir, "control/iam/users.json"));
  for (const [, value = ""] of users.matchAll(/"secret": ?"([^"]+)"/g))
    secrets.push({ name: "secret of an access key", value });
  return secrets;
}

function readText(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
