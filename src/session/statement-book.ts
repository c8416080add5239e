import type { TextPlan } from "./plan.ts";
import { keyOf, nameBytesMax } from "./prepared-book.ts";

/** More names than any driver uses; beyond it a name is simply unknown, and an unknown one may do anything. */
const namesMax = 20_000;

/** The same for all names that are one to the server. No name has a zero byte, so that a long one's is none of the others. */
function oneOf(name: string): string {
  if (name.length * 3 < nameBytesMax) return name;
  const bytes = Buffer.from(name);
  return bytes.length < nameBytesMax ? name : `\0${keyOf(bytes)}`;
}

/** What a session's prepared statements and portals are, by name, as their messages pass. */
export class StatementBook {
  private readonly statements = new Map<string, TextPlan | undefined>();
  private readonly portals = new Map<string, TextPlan | undefined>();

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

  bind(portal: string, statement: string): void {
    const name = oneOf(portal);
    const plan = this.statements.get(oneOf(statement));
    if (this.portals.size < namesMax) this.portals.set(name, plan);
    else this.portals.delete(name);
  }

  /** Undefined: not known, so it may do anything. */
  planOfStatement(name: string): TextPlan | undefined {
    return this.statements.get(oneOf(name));
  }

  planOfPortal(name: string): TextPlan | undefined {
    return this.portals.get(oneOf(name));
  }

  closeStatement(name: string): void {
    this.statements.delete(oneOf(name));
  }

  closePortal(name: string): void {
    this.portals.delete(oneOf(name));
  }

  /** DEALLOCATE, DISCARD ALL. */
  deallocate(name: string): void {
    if (name === "*") this.statements.clear();
    else this.statements.delete(oneOf(name));
  }

  /** Portals end with their transaction. */
  endTransaction(): void {
    if (this.portals.size > 0) this.portals.clear();
  }
}
