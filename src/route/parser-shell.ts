import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { Grammar, type GrammarModule } from "./grammar.ts";
import { hasGrammar, useGrammar } from "./parser.ts";

/** Of which Node's types know nothing. */
declare const WebAssembly: {
  readonly compile: (bytes: Uint8Array) => Promise<object>;
  readonly Instance: new (code: object, imports: object) => object;
};

/** The package's own loader, which its entry calls once and for all. */
type Loader = (options: {
  readonly instantiateWasm: (imports: object, done: (instance: object) => void) => object;
}) => Promise<GrammarModule>;

/** Loads PostgreSQL's grammar (WASM, about 20 ms and 12 MiB), once per process, before the first classification. */
export async function loadParser(): Promise<void> {
  if (!hasGrammar()) useGrammar(await loadGrammar());
}

/** Compiled once; a module made of it costs a few milliseconds, and is there before anything else that happens. */
export async function loadGrammar(): Promise<Grammar> {
  const packages = createRequire(import.meta.url);
  const load = packages("libpg-query/wasm/libpg-query.js") as Loader;
  const wasm = packages.resolve("libpg-query/wasm/libpg-query.wasm");
  const code = await WebAssembly.compile(await readFile(wasm));
  const make = (): Promise<GrammarModule> =>
    load({
      instantiateWasm(imports, done) {
        done(new WebAssembly.Instance(code, imports));
        return {};
      },
    });
  return new Grammar((got) => void make().then(got), await make());
}
