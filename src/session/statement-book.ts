import type { TextPlan } from "./plan.ts";

/** More names than any driver uses; beyond it a name is simply unknown, and an unknown one may do anything. */
const namesMax = 20_000;

/** NAMEDATALEN - 1, in bytes: what names are cut to as keys of PostgreSQL's tables of statements and portals (dynahash.c). */
const nameBytesMax = 63;

/** The same for all names that are one to the server. No name has a zero byte, so that a long one's is none of the others. */
function keyOf(name: string): string {
  if (name.length * 3 < nameBytesMax) return name;
  const bytes = Buffer.from(name);
  return bytes.length < nameBytesMax ? name : `\0${bytes.toString("latin1", 0, nameBytesMax)}`;
}

/** What a session's prepared statements and portals are, by name, as their messages pass. */
export class StatementBook {
  private readonly statements = new Map<string, TextPlan | undefined>();
  private readonly portals = new Map<string, TextPlan | undefined>();

  get statementCount(): number {
    return this.statements.size;
  }

  parse(given: string, plan: TextPlan): void {
    const name = keyOf(given);
    // The server refuses a second Parse of a name that is taken (42P05), or the name was freed in a way that we did
    // not see: either text may be meant from now on.
    const isTaken = name !== "" && this.statements.has(name);
    if (isTaken && this.statements.get(name) !== plan) this.statements.set(name, undefined);
    else if (this.statements.size < namesMax) this.statements.set(name, plan);
    else this.statements.delete(name);
  }

  bind(portal: string, statement: string): void {
    const plan = this.statements.get(keyOf(statement));
    if (this.portals.size < namesMax) this.portals.set(keyOf(portal), plan);
    else this.portals.delete(keyOf(portal));
  }

  /** Undefined: not known, so it may do anything. */
  planOfStatement(name: string): TextPlan | undefined {
    return this.statements.get(keyOf(name));
  }

  planOfPortal(name: string): TextPlan | undefined {
    return this.portals.get(keyOf(name));
  }

  closeStatement(name: string): void {
    this.statements.delete(keyOf(name));
  }

  closePortal(name: string): void {
    this.portals.delete(keyOf(name));
  }

  /** DEALLOCATE, DISCARD ALL. */
  deallocate(name: string): void {
    if (name === "*") this.statements.clear();
    else this.statements.delete(keyOf(name));
  }

  /** Portals end with their transaction. */
  endTransaction(): void {
    if (this.portals.size > 0) this.portals.clear();
  }
}
