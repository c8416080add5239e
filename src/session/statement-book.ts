import type { TextPlan } from "./plan.ts";

/** More names than any driver uses; beyond it a name is simply unknown, and an unknown one may do anything. */
const namesMax = 20_000;

/** What a session's prepared statements and portals are, by name, as their messages pass. */
export class StatementBook {
  private readonly statements = new Map<string, TextPlan | undefined>();
  private readonly portals = new Map<string, TextPlan | undefined>();

  get statementCount(): number {
    return this.statements.size;
  }

  parse(name: string, plan: TextPlan): void {
    // The server refuses a second Parse of a name that is taken (42P05), or the name was freed in a way that we did
    // not see: either text may be meant from now on.
    const isTaken = name !== "" && this.statements.has(name);
    if (isTaken && this.statements.get(name) !== plan) this.statements.set(name, undefined);
    else if (this.statements.size < namesMax) this.statements.set(name, plan);
    else this.statements.delete(name);
  }

  bind(portal: string, statement: string): void {
    const plan = this.statements.get(statement);
    if (this.portals.size < namesMax) this.portals.set(portal, plan);
    else this.portals.delete(portal);
  }

  /** Undefined: not known, so it may do anything. */
  planOfStatement(name: string): TextPlan | undefined {
    return this.statements.get(name);
  }

  planOfPortal(name: string): TextPlan | undefined {
    return this.portals.get(name);
  }

  closeStatement(name: string): void {
    this.statements.delete(name);
  }

  closePortal(name: string): void {
    this.portals.delete(name);
  }

  /** DEALLOCATE, DISCARD ALL. */
  deallocate(name: string): void {
    if (name === "*") this.statements.clear();
    else this.statements.delete(name);
  }

  /** Portals end with their transaction. */
  endTransaction(): void {
    if (this.portals.size > 0) this.portals.clear();
  }
}
