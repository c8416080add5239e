import { describe, expect, it } from "vitest";
import { bootstrapSql, resetPasswordSql } from "./bootstrap.ts";
import { quoteIdentifier, quoteLiteral } from "./quoting.ts";
import { recordFirstSql } from "./role-record.ts";

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

  it("quotes whose password is reset, and what to", () => {
    const sql = resetPasswordSql({ user: 'a"; DROP ROLE b; --', verifier: "SCRAM-SHA-256$1:'" });
    expect(sql).toContain(`ALTER ROLE "a""; DROP ROLE b; --" LOGIN PASSWORD 'SCRAM-SHA-256$1:''' `);
  });

  it("is one transaction", () => {
    const sql = bootstrapSql({ masterUser: "postgres", password: "x", isSuperuser: false });
    expect(sql).toMatch(/^BEGIN; .*; COMMIT$/s);
    expect(sql).toContain(`GRANT rds_superuser TO "postgres"`);
    expect(sql).not.toContain(" SUPERUSER");
    expect(sql).toContain(recordFirstSql(["rds_superuser"]));
  });
});
