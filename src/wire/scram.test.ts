import { createRequire } from "node:module";
import { describe, expect, it } from "vitest";
import {
  findMd5Verifier,
  findScramVerifier,
  formatScramVerifier,
  isMd5Answer,
  makeMd5Verifier,
  makeScramVerifier,
  md5Answer,
  mockVerifier,
  scramClientFinal,
  ScramServer,
  scramSha256,
  scramSha256Plus,
} from "./index.ts";

/** node-postgres' client side, which it does not export with types. */
interface SaslClient {
  startSession(mechanisms: string[]): { mechanism: string; response: string };
  continueSession(session: object, password: string, serverFirst: string): Promise<void>;
  finalizeSession(session: object, serverFinal: string | undefined): void;
}
const sasl: SaslClient = createRequire(import.meta.url)("pg/lib/crypto/sasl.js");

// RFC 7677, section 3.
const rfc = {
  password: "pencil",
  salt: Buffer.from("W22ZaJ0SNY7soEsUEjb6gQ==", "base64"),
  serverNonce: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
  clientFirst: "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
  serverFirst:
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
  clientFinal:
    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
  serverFinal: "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
};

function server(password = rfc.password, certificateHash?: Buffer): ScramServer {
  return new ScramServer({
    verifier: makeScramVerifier(password, rfc.salt, 4096),
    isDoomed: false,
    certificateHash,
    serverNonce: rfc.serverNonce,
  });
}

describe("ScramServer", () => {
  it("speaks RFC 7677's example word by word", () => {
    const exchange = server();
    expect(exchange.first(scramSha256, rfc.clientFirst)).toBe(rfc.serverFirst);
    expect(exchange.final(rfc.clientFinal)).toBe(rfc.serverFinal);
  });

  it("our client side gives the same", () => {
    const { clientFinal, serverFinal } = scramClientFinal({
      password: rfc.password,
      clientFirstBare: rfc.clientFirst.slice(3),
      serverFirst: rfc.serverFirst,
      binding: "biws",
    });
    expect(clientFinal).toBe(rfc.clientFinal);
    expect(serverFinal).toBe(rfc.serverFinal);
  });

  it("agrees with node-postgres' client", async () => {
    const session = sasl.startSession([scramSha256]);
    const exchange = server("pass wörd");
    await sasl.continueSession(
      session,
      "pass wörd",
      exchange.first(session.mechanism, session.response),
    );
    const final = exchange.final(session.response);
    expect(final).toBeDefined();
    sasl.finalizeSession(session, final);
  });

  it("refuses a wrong password", async () => {
    const session = sasl.startSession([scramSha256]);
    const exchange = server("right");
    await sasl.continueSession(
      session,
      "wrong",
      exchange.first(session.mechanism, session.response),
    );
    expect(exchange.final(session.response)).toBeUndefined();
  });

  it("binds the channel: the certificate that the client saw counts", () => {
    const hash = Buffer.alloc(32, 7);
    const answer = (seen: Buffer): string | undefined => {
      const exchange = server("right", hash);
      const bare = "n=,r=abc";
      const serverFirst = exchange.first(scramSha256Plus, `p=tls-server-end-point,,${bare}`);
      const binding = Buffer.concat([Buffer.from("p=tls-server-end-point,,"), seen]).toString(
        "base64",
      );
      return exchange.final(
        scramClientFinal({ password: "right", clientFirstBare: bare, serverFirst, binding })
          .clientFinal,
      );
    };
    expect(answer(hash)).toMatch(/^v=/);
    expect(() => answer(Buffer.alloc(32, 8))).toThrow("channel binding check failed");
  });

  it("notices a client that was made to believe we cannot bind", () => {
    expect(() => server("x", Buffer.alloc(32)).first(scramSha256, "y,,n=,r=abc")).toThrow(
      "negotiation error",
    );
    expect(server("x").first(scramSha256, "y,,n=,r=abc")).toMatch(/^r=abc/);
  });

  it.each([
    ["", "channel-binding flag"],
    ["n,a=me,n=,r=abc", "authorization identity"],
    ["n,,r=abc", "nonce"],
    ["n,,n=,r=", "nonce"],
    ["n,,m=x,n=,r=abc", "nonce"],
    ["p=tls-unique,,n=,r=abc", "without channel binding"],
  ])("refuses the first message %j", (message, why) => {
    let told = "";
    try {
      server().first(scramSha256, message);
    } catch (error) {
      told =
        error instanceof Error
          ? `${error.message} ${"detail" in error ? String(error.detail) : ""}`
          : "";
    }
    expect(told).toContain(why);
  });

  it("refuses another nonce, a short proof, and trailing text", () => {
    const exchange = server();
    exchange.first(scramSha256, rfc.clientFirst);
    expect(() => exchange.final("c=biws,r=rOprNGfwEbeRWgbNEkqO,p=AAAA")).toThrow();
    expect(() => exchange.final(rfc.clientFinal.replace(/p=.*/, "p=AAAA"))).toThrow();
    expect(() => exchange.final(`${rfc.clientFinal},x=1`)).toThrow();
  });
});

describe("verifiers", () => {
  it("reads what PostgreSQL stores", () => {
    const { storedKey, serverKey } = makeScramVerifier("pencil", rfc.salt, 4096);
    const text = `SCRAM-SHA-256$4096:${rfc.salt.toString("base64")}$${storedKey.toString("base64")}:${serverKey.toString("base64")}`;
    expect(findScramVerifier(text)).toEqual({
      iterations: 4096,
      salt: rfc.salt,
      storedKey,
      serverKey,
    });
    expect(formatScramVerifier(makeScramVerifier("pencil", rfc.salt, 4096))).toBe(text);
    expect(findScramVerifier("md5x")).toBeUndefined();
    expect(findScramVerifier("SCRAM-SHA-256$4096:AAAA$AAAA:AAAA")).toBeUndefined();
  });

  it("shows an unknown role the same salt each time, and another one to its neighbour", () => {
    const secret = Buffer.alloc(32, 1);
    expect(mockVerifier("ann", secret)).toEqual(mockVerifier("ann", secret));
    expect(mockVerifier("ann", secret).salt).not.toEqual(mockVerifier("bob", secret).salt);
    expect(mockVerifier("ann", Buffer.alloc(32, 2)).salt).not.toEqual(
      mockVerifier("ann", secret).salt,
    );
  });

  it("accepts nobody for a doomed exchange, not even with the right key", () => {
    const exchange = new ScramServer({
      verifier: makeScramVerifier("pencil", rfc.salt, 4096),
      isDoomed: true,
      certificateHash: undefined,
      serverNonce: rfc.serverNonce,
    });
    exchange.first(scramSha256, rfc.clientFirst);
    expect(exchange.final(rfc.clientFinal)).toBeUndefined();
  });

  it("checks md5 answers", () => {
    const verifier = makeMd5Verifier("ann", "secret");
    const salt = Buffer.from([1, 2, 3, 4]);
    expect(findMd5Verifier(verifier)).toBe(verifier);
    expect(isMd5Answer(verifier, salt, md5Answer(verifier, salt))).toBe(true);
    expect(isMd5Answer(verifier, salt, md5Answer(makeMd5Verifier("ann", "other"), salt))).toBe(
      false,
    );
    expect(isMd5Answer(verifier, salt, "md5")).toBe(false);
  });
});
