import { describe, expect, it } from "vitest";
import { bootstrapSql, quoteIdentifier, quoteLiteral } from "./bootstrap.ts";

describe("the bootstrap SQL", () => {
  it("quotes what a user chose, whatever it holds", () => {
    expect(quoteLiteral("o'clock")).toBe("'o''clock'");
    expect(quoteIdentifier('a"b')).toBe('"a""b"');
    const sql = bootstrapSql({
      masterUser: `x"; DROP ROLE y; --`,
      password: "p'w",
      isSuperuser: true,
    });
    expect(sql).toContain(`ALTER ROLE "x""; DROP ROLE y; --" LOGIN SUPERUSER`);
    expect(sql).toContain(`PASSWORD 'p''w'`);
  });

  it("is one transaction", () => {
    const sql = bootstrapSql({ masterUser: "postgres", password: "x", isSuperuser: false });
    expect(sql).toMatch(/^BEGIN; .*; COMMIT$/s);
    expect(sql).toContain(`GRANT rds_superuser TO "postgres"`);
    expect(sql).not.toContain(" SUPERUSER");
  });
});
