import type { TextPlan } from "./plan.ts";
import { keyOf, nameBytesMax } from "./prepared-book.ts";
import { customNameLengthMax, customNamesMax } from "./session-touch.ts";

/** More names than any driver uses; beyond it a name is simply unknown, and an unknown one may do anything. */
const namesMax = 20_000;

/** Of values of all portals together. */
const boundBytesMax = 1024 * 1024;
const boundOverheadBytes = 50;
/** In their place: it says that the session has too many settings of its own. */
const tooManyNames: readonly string[] = ["x".repeat(customNameLengthMax + 1)];

interface Portal {
  readonly plan: TextPlan | undefined;
  /** Values of the parameters that name settings. */
  readonly names: readonly string[];
}

/** The same for all names that are one to the server. No name has a zero byte, so that a long one's is none of the others. */
function oneOf(name: string): string {
  if (name.length * 3 < nameBytesMax) return name;
  const bytes = Buffer.from(name);
  return bytes.length < nameBytesMax ? name : `\0${keyOf(bytes)}`;
}

/** What a session's prepared statements and portals are, by name, as their messages pass. */
export class StatementBook {
  private readonly statements = new Map<string, TextPlan | undefined>();
  private readonly portals = new Map<string, Portal>();
  private boundBytes = 0;

  get statementCount(): number {
    return this.statements.size;
  }

  parse(given: string, plan: TextPlan): void {
    const name = oneOf(given);
    // The server refuses a second Parse of a name that is taken (42P05), or the name was freed in a way that we did
    // not see: either text may be meant from now on.
    const isTaken = name !== "" && this.statements.has(name);
    if (isTaken && this.statements.get(name) !== plan) this.statements.set(name, undefined);
    else if (this.statements.size < namesMax) this.statements.set(name, plan);
    else this.statements.delete(name);
  }

  /** `names`: values of the parameters that name settings. */
  bind(portal: string, statement: string, names: readonly string[] = []): void {
    this.closePortal(portal);
    const plan = this.statements.get(oneOf(statement));
    if (this.portals.size >= namesMax) return;
    const bytes = bytesOf(names);
    const fits = names.length <= customNamesMax && this.boundBytes + bytes <= boundBytesMax;
    this.portals.set(oneOf(portal), { plan, names: fits ? names : tooManyNames });
    if (fits) this.boundBytes += bytes;
  }

  /** Undefined: not known, so it may do anything. */
  planOfStatement(name: string): TextPlan | undefined {
    return this.statements.get(oneOf(name));
  }

  planOfPortal(name: string): TextPlan | undefined {
    return this.portals.get(oneOf(name))?.plan;
  }

  namesOfPortal(name: string): readonly string[] | undefined {
    return this.portals.get(oneOf(name))?.names;
  }

  closeStatement(name: string): void {
    this.statements.delete(oneOf(name));
  }

  closePortal(name: string): void {
    const key = oneOf(name);
    const names = this.portals.get(key)?.names;
    if (names && names !== tooManyNames) this.boundBytes -= bytesOf(names);
    this.portals.delete(key);
  }

  /** DEALLOCATE, DISCARD ALL. */
  deallocate(name: string): void {
    if (name === "*") this.statements.clear();
    else this.statements.delete(oneOf(name));
  }

  /** Portals end with their transaction. */
  endTransaction(): void {
    if (this.portals.size > 0) this.portals.clear();
    this.boundBytes = 0;
  }
}

function bytesOf(names: readonly string[]): number {
  return names.reduce((bytes, name) => bytes + name.length + boundOverheadBytes, 0);
}
