import { describe, expect, it } from "vitest";
import { parseSymlinks } from "./engine-symlinks.ts";
import { findVersion, requireSupported } from "./versions.ts";

describe("the version of an engine", () => {
  it("is read from what postgres prints", () => {
    expect(findVersion("postgres (PostgreSQL) 18.4\n")).toEqual({
      text: "18.4",
      major: 18,
      minor: 4,
    });
    const debian = "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n";
    expect(findVersion(debian)).toMatchObject({ text: "15.18" });
    for (const other of [
      "postgres (PostgreSQL) 19devel",
      "postgres (PostgreSQL) 18beta1",
      "mysqld 8.0.3",
      "",
    ]) {
      expect(findVersion(other), other).toBeUndefined();
    }
  });

  it("must be a release in which commits wait from the first moment on", () => {
    const good = ["15.13", "15.18", "16.9", "17.5", "18.0", "18.4"];
    const bad = ["14.22", "15.12", "16.8", "17.4", "19.0", "9.6"];
    for (const version of good)
      expect(requireSupported(`postgres (PostgreSQL) ${version}`, "/x").text).toBe(version);
    for (const version of bad) {
      expect(() => requireSupported(`postgres (PostgreSQL) ${version}`, "/x"), version).toThrow(
        `/x is PostgreSQL ${version}`,
      );
    }
    expect(() => requireSupported("postgres (PostgreSQL) 19devel", "/x")).toThrow(
      "no release of PostgreSQL",
    );
  });
});

describe("the list of links of the engine package", () => {
  it("is read, and refused if it leads outside the package", () => {
    const link = { source: "native/lib/libz.so.1.2", target: "native/lib/libz.so" };
    expect(parseSymlinks(JSON.stringify([link]))).toEqual([link]);
    for (const target of ["/etc/passwd", "native/../../x", "", 7, null]) {
      expect(() => parseSymlinks(JSON.stringify([{ ...link, target }]))).toThrow("damaged");
    }
    for (const text of ["", "{}", "[1]", "[null]"])
      expect(() => parseSymlinks(text)).toThrow("damaged");
  });
});
