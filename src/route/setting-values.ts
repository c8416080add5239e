/** Behind these, SET a = b changes rows; elsewhere it says a setting's value, which may be a secret without quotes. */
const changesRows = new Set(["update", "insert", "merge", "with", "explain"]);
const ofRelations = new Set(["table", "view", "index"]);

type Part =
  | { readonly kind: "none" }
  /** Behind SET. */
  | { readonly kind: "name"; readonly depth: number }
  /** Behind its = or TO. `isOver`: all but a comma ends it. */
  | { readonly kind: "value"; readonly depth: number; readonly isOver: boolean };

const none: Part = { kind: "none" };

/** Told the words and signs of a text of SQL in their order, in lower case: which of them are values of settings. */
export class SettingValues {
  private part: Part = none;
  private first = "";
  /** ALTER TABLE and its like: several actions, parted by commas. */
  private hasActions = false;
  private wordCount = 0;
  private depth = 0;

  /** Whether it is of a value; and whether one begins behind it. */
  next(word: string): { isValue: boolean; beginsValue: boolean } {
    if (word === ";") this.begin();
    else {
      this.first ||= word;
      if (++this.wordCount <= 3 && this.first === "alter" && ofRelations.has(word))
        this.hasActions = true;
    }
    if (word === ")") this.depth--;
    const isValue = this.isValue(word);
    const beginsValue = !isValue && this.goOn(word);
    if (word === "(") this.depth++;
    return { isValue, beginsValue };
  }

  private begin(): void {
    this.part = none;
    this.first = "";
    this.wordCount = 0;
    this.hasActions = false;
    this.depth = 0;
  }

  private isValue(word: string): boolean {
    const { part, depth } = this;
    if (part.kind !== "value") return false;
    // In parentheses a value may be of several words, like a type.
    if (part.depth > 0) {
      if (depth < part.depth || (depth === part.depth && word === ",")) return this.endValue(word);
      return true;
    }
    if (word === "," && part.isOver && !this.hasActions) {
      this.part = { ...part, isOver: false };
      return true;
    }
    if (part.isOver || word === "(") return this.endValue(word);
    this.part = { ...part, isOver: word !== "+" && word !== "-" };
    return true;
  }

  private endValue(word: string): false {
    const { part } = this;
    const isList = word === "," && part.kind === "value" && part.depth > 0;
    this.part = isList ? { kind: "name", depth: this.depth - 1 } : none;
    return false;
  }

  /** Whether a value begins behind it. */
  private goOn(word: string): boolean {
    const { part, depth } = this;
    if (word === "set" && !changesRows.has(this.first)) this.part = { kind: "name", depth };
    if (part.kind !== "name") return false;
    if (word === "=" || word === "to") {
      this.part = { kind: "value", depth, isOver: false };
      return true;
    }
    if (depth < part.depth || (word === "," && depth === part.depth)) this.part = none;
    return false;
  }
}
