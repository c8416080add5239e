/** What is used of the WASM module of libpg-query: PostgreSQL's grammar, and the C functions around it. */
export interface GrammarModule {
  /** Its memory, which never shrinks. */
  readonly HEAPU8: Uint8Array;
  readonly _malloc: (bytes: number) => number;
  readonly _free: (at: number) => void;
  readonly _wasm_parse_query_raw: (text: number) => number;
  readonly _wasm_free_parse_result: (result: number) => void;
  readonly _wasm_scan: (text: number) => number;
  readonly _wasm_free_string: (text: number) => void;
  readonly lengthBytesUTF8: (text: string) => number;
  readonly stringToUTF8: (text: string, at: number, bytesMax: number) => void;
  readonly UTF8ToString: (at: number) => string;
  readonly getValue: (at: number, type: "i32") => number;
}

/** Makes a fresh module of code that is compiled already, and gives it a moment later. */
export type MakeModule = (got: (module: GrammarModule) => void) => void;

/**
 * - failed: PostgreSQL refuses it, too
 * - broken: the module has given up, or a fresh one is not there yet; nothing is known of the text
 */
export type GrammarAnswer =
  | { readonly kind: "answer"; readonly value: unknown }
  | { readonly kind: "failed" | "broken" };

/** As much as it has at first. What it has grown by it would keep for good. */
const memoryBytesMax = 128 * 1024 * 1024;
const broken: GrammarAnswer = { kind: "broken" };
const failed: GrammarAnswer = { kind: "failed" };

/**
 * PostgreSQL's grammar in a module that may break: on a text that nests too deep its stack pointer stays where it was, and so
 * does what was allocated for the text; soon every text would fail. So a module that has raised anything is not used again.
 */
export class Grammar {
  private readonly make: MakeModule;
  private module: GrammarModule | undefined;

  constructor(make: MakeModule, module: GrammarModule) {
    this.make = make;
    this.module = module;
  }

  /** The value is libpg-query's own form of a parse tree. */
  parse(sql: string): GrammarAnswer {
    return this.ask(sql, (module, text) => {
      const result = obtained(module._wasm_parse_query_raw(text));
      // PgQueryParseResult: tree, stderr, error.
      const [tree, error] = [module.getValue(result, "i32"), module.getValue(result + 8, "i32")];
      const json = error === 0 ? module.UTF8ToString(obtained(tree)) : undefined;
      module._wasm_free_parse_result(result);
      return json;
    });
  }

  /** The value is libpg-query's own form of a list of tokens. */
  scan(sql: string): GrammarAnswer {
    return this.ask(sql, (module, text) => {
      const result = obtained(module._wasm_scan(text));
      const json = module.UTF8ToString(result);
      module._wasm_free_string(result);
      return json.startsWith("{") ? json : undefined;
    });
  }

  private ask(
    sql: string,
    how: (module: GrammarModule, text: number) => string | undefined,
  ): GrammarAnswer {
    const { module } = this;
    if (!module) return broken;
    try {
      const bytes = module.lengthBytesUTF8(sql) + 1;
      const text = obtained(module._malloc(bytes));
      module.stringToUTF8(sql, text, bytes);
      const json = how(module, text);
      module._free(text);
      const value: unknown = json === undefined ? undefined : JSON.parse(json);
      if (module.HEAPU8.length > memoryBytesMax) this.renew();
      return value === undefined ? failed : { kind: "answer", value };
    } catch {
      this.renew();
      return broken;
    }
  }

  private renew(): void {
    this.module = undefined;
    this.make((module) => {
      this.module = module;
    });
  }
}

function obtained(at: number): number {
  if (at === 0) throw new RangeError("the module has no memory left");
  return at;
}
