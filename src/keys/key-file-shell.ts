import { BorealisError, sqlState } from "../base/errors.ts";
import type { Entropy, SecretFiles } from "../io/index.ts";
import { dataKeyBytes } from "./data-keys.ts";
import type { KeyContext, KeyProvider, NewDataKey } from "./key-provider-shell.ts";
import { type MasterKey, masterIdOf, unwrapKey, wrapKey } from "./key-wrap.ts";

export interface KeyFileDeps {
  readonly files: SecretFiles;
  readonly entropy: Entropy;
  /** ISO 8601. */
  readonly now: () => string;
}

interface KeptMaster extends MasterKey {
  readonly createdAt: string;
}

/**
 * The default key provider: master keys in one file of `keys/`, the newest last. Older ones stay: copies of the key
 * ring in backups may be wrapped by them.
 */
export class KeyFileProvider implements KeyProvider {
  readonly name: string;
  private readonly path: string;
  private readonly deps: KeyFileDeps;

  constructor(path: string, deps: KeyFileDeps) {
    this.name = path;
    this.path = path;
    this.deps = deps;
  }

  /** Makes the file with its first master key, if there is none. */
  async create(): Promise<void> {
    if (this.deps.files.read(this.path) === undefined) await this.rotateMaster();
  }

  generate(context: KeyContext): Promise<NewDataKey> {
    const key = this.deps.entropy.bytes(dataKeyBytes);
    return Promise.resolve({ key, wrapped: this.wrap(key, context) });
  }

  async unwrap(wrapped: string, context: KeyContext): Promise<Buffer> {
    const masters = this.load();
    const master = masters.find((one) => one.id === masterIdOf(wrapped));
    if (!master) throw this.notTheVolumes(`it has no master key ${masterIdOf(wrapped) ?? "?"}`);
    const key = unwrapKey(wrapped, master, context);
    if (!key) throw this.notTheVolumes(`data key ${context.dataKey} does not unwrap with it`);
    return Promise.resolve(key);
  }

  async rewrap(wrapped: string, context: KeyContext, next = context): Promise<string> {
    return this.wrap(await this.unwrap(wrapped, context), next);
  }

  rotateMaster(): Promise<void> {
    const { files, entropy, now } = this.deps;
    const known = files.read(this.path) === undefined ? [] : this.load();
    const made = {
      id: entropy.bytes(16).toString("hex"),
      createdAt: now(),
      key: entropy.bytes(dataKeyBytes),
    };
    const keys = [...known, made].map((one) => ({ ...one, key: one.key.toString("base64") }));
    files.replace(this.path, `${JSON.stringify({ format: 1, keys }, null, 2)}\n`);
    return Promise.resolve();
  }

  private wrap(key: Buffer, context: KeyContext): string {
    const newest = this.load().at(-1);
    if (!newest) throw this.unusable("it holds no key");
    return wrapKey(key, newest, { context, nonce: this.deps.entropy.bytes(12) });
  }

  private load(): KeptMaster[] {
    const text = this.deps.files.read(this.path);
    if (text === undefined) throw this.unusable("it is missing");
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      throw this.unusable("it is not JSON"); // without the cause, which quotes the text
    }
    const { format, keys } = fieldsOf(value);
    if (format !== 1 || !Array.isArray(keys)) throw this.unusable("it has another format");
    return keys.map((row) => this.parseMaster(row));
  }

  private parseMaster(row: unknown): KeptMaster {
    const { id, createdAt, key } = fieldsOf(row);
    const bytes = typeof key === "string" ? Buffer.from(key, "base64") : Buffer.alloc(0);
    const isId = typeof id === "string" && /^[0-9a-f]{32}$/.test(id);
    if (!isId || bytes.length !== dataKeyBytes) throw this.unusable("a key in it is damaged");
    return { id, createdAt: typeof createdAt === "string" ? createdAt : "", key: bytes };
  }

  private notTheVolumes(why: string): BorealisError {
    return new BorealisError(
      sqlState.notInPrerequisiteState,
      `the key file ${this.path} is not the volume's: ${why}`,
      { hint: "put the volume's own keys/ back from its backup: nothing else opens its data" },
    );
  }

  private unusable(why: string): BorealisError {
    return new BorealisError(
      sqlState.notInPrerequisiteState,
      `the volume's key file ${this.path} cannot be used: ${why}`,
      { hint: "put keys/ back from its backup: without it the volume's data cannot be read" },
    );
  }
}

function fieldsOf(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? { ...value } : {};
}
