import { describe, expect, it } from "vitest";
import { InvariantBroken } from "../base/assert.ts";
import { FakeClient } from "../../test/helpers/fake-postgres.ts";
import { auditedLink } from "./audited-link.ts";

describe("a client whose statements cannot be told", () => {
  const broken: unknown[] = [];
  const sentBy = (client: FakeClient, raised: Error): string[] => {
    const sent: string[] = [];
    const see = (): never => {
      throw raised;
    };
    auditedLink(client, { see }, (error) => broken.push(error)).onData((chunk) =>
      sent.push(chunk.toString()),
    );
    return sent;
  };

  it("is gone, and what it sent goes no further", async () => {
    const client = new FakeClient();
    const raised = new RangeError("Maximum call stack size exceeded");
    const sent = sentBy(client, raised);
    client.send(Buffer.from("x"));
    expect([sent, broken, client.closed]).toEqual([[], [raised], true]);
  });

  it("ends the process where a law is broken", () => {
    const client = new FakeClient();
    sentBy(client, new InvariantBroken("it holds"));
    expect(() => client.send(Buffer.from("x"))).toThrow(InvariantBroken);
  });
});
