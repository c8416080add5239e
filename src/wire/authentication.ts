import { ByteReader } from "../base/bytes.ts";
import { ProtocolViolation } from "../base/errors.ts";
import { encodeMessage } from "./message.ts";
import { backend, frontend } from "./types.ts";

/**
 * Authentication messages: u32 code, then what belongs to it:
 * 0 ok; 3 clear-text password; 5 md5 (salt 4 bytes); 10 SASL (mechanism names, zero byte); 11 continue (bytes); 12 final (bytes).
 */
const code = { ok: 0, cleartext: 3, md5: 5, sasl: 10, saslContinue: 11, saslFinal: 12 } as const;

export function encodeAuthenticationOk(): Buffer {
  return encodeMessage(backend.authentication, (body) => body.u32(code.ok));
}

/** Only ever over TLS: the answer is the secret itself. */
export function encodeCleartextRequest(): Buffer {
  return encodeMessage(backend.authentication, (body) => body.u32(code.cleartext));
}

export function encodeMd5Request(salt: Uint8Array): Buffer {
  return encodeMessage(backend.authentication, (body) => body.u32(code.md5).raw(salt));
}

export function encodeSaslRequest(mechanisms: readonly string[]): Buffer {
  return encodeMessage(backend.authentication, (body) => {
    body.u32(code.sasl);
    for (const mechanism of mechanisms) body.cString(mechanism);
    body.u8(0);
  });
}

export function encodeSaslContinue(text: string): Buffer {
  return encodeMessage(backend.authentication, (body) => body.u32(code.saslContinue).text(text));
}

export function encodeSaslFinal(text: string): Buffer {
  return encodeMessage(backend.authentication, (body) => body.u32(code.saslFinal).text(text));
}

/** The code of an Authentication body: 0 is ok. Raises ProtocolViolation. */
export function authenticationCode(body: Buffer): number {
  return new ByteReader(body).u32();
}

export interface SaslInitialResponse {
  readonly mechanism: string;
  readonly response: string;
}

/** SASLInitialResponse: mechanism cstring, length i32, response. Raises ProtocolViolation. */
export function parseSaslInitialResponse(body: Buffer): SaslInitialResponse {
  const reader = new ByteReader(body);
  const mechanism = reader.cString();
  const length = reader.i32();
  // -1 means "none", which SCRAM, where the client speaks first, cannot use.
  if (length < 0)
    throw new ProtocolViolation("malformed SCRAM message: the client must send the first message");
  const response = reader.view(length).toString("utf8");
  reader.end();
  return { mechanism, response };
}

export function encodeSaslInitialResponse(initial: SaslInitialResponse): Buffer {
  return encodeMessage(frontend.password, (body) =>
    body.cString(initial.mechanism).i32(Buffer.byteLength(initial.response)).text(initial.response),
  );
}

export function encodeSaslResponse(response: string): Buffer {
  return encodeMessage(frontend.password, (body) => body.text(response));
}

/** PasswordMessage: one cstring. Raises ProtocolViolation. */
export function parsePassword(body: Buffer): string {
  const reader = new ByteReader(body);
  const password = reader.cString();
  reader.end();
  return password;
}

export function encodePassword(password: string): Buffer {
  return encodeMessage(frontend.password, (body) => body.cString(password));
}
